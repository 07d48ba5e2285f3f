package resource

import (
	"fmt"
	"time"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// KindControllerConfiguration is Calico's KubeControllersConfiguration.
const KindControllerConfiguration Kind = "ControllerConfiguration"

// ControllerConfiguration is what the controller does for the cluster.
type ControllerConfiguration struct {
	Meta
	// LeakGrace is for how long what is collected must be of no use; nil: the
	// controller knows, zero: nothing is collected.
	LeakGrace *time.Duration
	// HostEndpoints is what HostEndpoints it makes for nodes.
	HostEndpoints AutoHostEndpoints
}

// Bounds of the grace period. Below, a store that is slow for a moment could
// make two looks at the same garbage out of one; above, it is as good as never.
const (
	leastLeakGrace = 30 * time.Second
	mostLeakGrace  = 720 * time.Hour
)

// controllers checks the ControllerConfiguration. What is not built is accepted
// as Calico's own object, which every cluster has, says it.
func (p *problems) controllers(meta Meta, spec *vrouterv1.ControllerConfigurationSpec) *ControllerConfiguration {
	if meta.Name != DefaultName {
		p.addf("metadata.name", "%q, but there is one ControllerConfiguration, named %q", meta.Name, DefaultName)
	}
	c := &ControllerConfiguration{Meta: meta}
	if spec == nil {
		return c
	}
	p.oneOf("spec.logSeverityScreen", spec.LogSeverityScreen, "Info", "Debug", "Warning", "Error", "Fatal", "Panic", "None")
	p.oneOf("spec.healthChecks", spec.HealthChecks, "Enabled", "Disabled")
	p.builtPort("spec.prometheusMetricsPort", spec.PrometheusMetricsPort, 9094)
	p.builtPort("spec.debugProfilePort", spec.DebugProfilePort, 0)
	p.period("spec.etcdV3CompactionPeriod", spec.EtcdV3CompactionPeriod, 10*time.Minute)
	for _, sync := range []struct {
		name string
		raw  *vrouterv1.SyncController
	}{
		{"policy", spec.Controllers.GetPolicy()}, {"workloadEndpoint", spec.Controllers.GetWorkloadEndpoint()},
		{"serviceAccount", spec.Controllers.GetServiceAccount()}, {"namespace", spec.Controllers.GetNamespace()},
	} {
		if sync.raw != nil {
			p.period("spec.controllers."+sync.name+".reconcilerPeriod", sync.raw.ReconcilerPeriod, 5*time.Minute)
		}
	}
	// Calico's default, as every cluster says it.
	if lb := spec.Controllers.GetLoadBalancer(); lb != nil {
		p.oneOf("spec.controllers.loadBalancer.assignIPs", lb.AssignIps, "AllServices", "RequestedServicesOnly")
	}
	if node := spec.Controllers.GetNode(); node != nil {
		c.LeakGrace = p.nodeController("spec.controllers.node", node)
		c.HostEndpoints = p.autoHostEndpoints("spec.controllers.node.hostEndpoint", node.GetHostEndpoint())
	}
	return c
}

func (p *problems) nodeController(path string, node *vrouterv1.NodeController) *time.Duration {
	p.period(path+".reconcilerPeriod", node.ReconcilerPeriod, 5*time.Minute)
	p.oneOf(path+".syncLabels", node.SyncLabels, "Enabled", "Disabled")
	grace := node.GetLeakGracePeriod()
	if grace == "" {
		return nil
	}
	if d, err := time.ParseDuration(grace); err == nil && d == 0 {
		return &d
	}
	d, err := parseDuration(grace, leastLeakGrace, mostLeakGrace)
	if err != nil {
		p.err(path+".leakGracePeriod", fmt.Errorf("%w; 0 is never", err))
	}
	return &d
}

// period accepts a duration that is the only one that is built.
func (p *problems) period(path string, text *string, built time.Duration) {
	if text == nil || *text == "" {
		return
	}
	d, err := time.ParseDuration(*text)
	if err != nil {
		p.addf(path, `%q is not a duration such as "30s"`, *text)
	}
	p.unsupported(d != built, path, built.String())
}

// builtPort accepts a port that is the only one that is built.
func (p *problems) builtPort(path string, n *int32, built int32) {
	if n == nil {
		return
	}
	if *n < 0 || *n > 65535 {
		p.addf(path, "%d is not a port", *n)
	}
	p.unsupported(*n != built, path, fmt.Sprint(built))
}
