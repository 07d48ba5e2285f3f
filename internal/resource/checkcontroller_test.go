package resource

import (
	"testing"
	"time"
)

func TestBadControllerConfiguration(t *testing.T) {
	testBad(t, KindControllerConfiguration, []badSpec{
		{"", "", `metadata.name: "x", but there is one ControllerConfiguration, named "default"`},
		{"default", "controllers: {node: {leakGracePeriod: soon}}", `spec.controllers.node.leakGracePeriod: "soon" is not a duration such as "30s"; 0 is never`},
		{"default", "controllers: {node: {leakGracePeriod: 29s}}", "spec.controllers.node.leakGracePeriod: 29s is not between 30s and 720h0m0s; 0 is never"},
		{"default", "controllers: {node: {leakGracePeriod: -5m}}", "spec.controllers.node.leakGracePeriod: -5m0s is not between"},
		{"default", "controllers: {node: {reconcilerPeriod: x, syncLabels: y, hostEndpoint: {autoCreate: z}}}", `
			spec.controllers.node.reconcilerPeriod: "x" is not a duration
			spec.controllers.node.syncLabels: "y" is none of Enabled, Disabled
			spec.controllers.node.hostEndpoint.autoCreate: "z" is none of Enabled, Disabled`},
		{"default", "controllers: {node: {reconcilerPeriod: 1m, syncLabels: Disabled}}", `
			spec.controllers.node.reconcilerPeriod: not supported yet, only 5m0s is (unsupported)
			spec.controllers.node.syncLabels: not supported yet, only Enabled is (unsupported)`},
		{"default", "controllers: {node: {hostEndpoint: {createDefaultHostEndpoint: x, templates: [{generateName: a}, " +
			"{generateName: a, interfaceCIDRs: [b], nodeSelector: '=='}, {interfacePattern: '(', labels: {x: '?'}}]}}}", `
			spec.controllers.node.hostEndpoint.createDefaultHostEndpoint: "x" is none of Enabled, Disabled
			spec.controllers.node.hostEndpoint.templates[0]: interfaceCIDRs or interfacePattern is needed
			spec.controllers.node.hostEndpoint.templates[1].nodeSelector:
			spec.controllers.node.hostEndpoint.templates[1].interfaceCIDRs[0]:
			spec.controllers.node.hostEndpoint.templates[1].generateName: "a" is the name of another template
			spec.controllers.node.hostEndpoint.templates[2].generateName: must not be empty
			spec.controllers.node.hostEndpoint.templates[2].labels[x]:
			spec.controllers.node.hostEndpoint.templates[2].interfacePattern:`},
		{"default", "controllers: {policy: {reconcilerPeriod: 1m}, loadBalancer: {assignIPs: RequestedServicesOnly}}", `
			spec.controllers.policy.reconcilerPeriod: not supported yet, only 5m0s is (unsupported)
			spec.controllers.loadBalancer.assignIPs: not supported yet, only AllServices is (unsupported)`},
		{"default", "logSeverityScreen: Panic, controllers: {loadBalancer: {assignIPs: none}}", `
			spec.logSeverityScreen: not supported yet, only Info is (unsupported)
			spec.controllers.loadBalancer.assignIPs: "none" is none of AllServices, RequestedServicesOnly`},
		{"default", "logSeverityScreen: Debug, healthChecks: Disabled, prometheusMetricsPort: 0, debugProfilePort: 70000, etcdV3CompactionPeriod: 1m", `
			spec.logSeverityScreen: not supported yet, only Info is (unsupported)
			spec.healthChecks: not supported yet, only Enabled is (unsupported)
			spec.prometheusMetricsPort: not supported yet, only 9094 is (unsupported)
			spec.debugProfilePort: 70000 is not a port
			spec.etcdV3CompactionPeriod: not supported yet, only 10m0s is (unsupported)`},
	})
}

func TestLeakGracePeriod(t *testing.T) {
	for spec, want := range map[string]*time.Duration{
		"":                nil,
		"controllers: {}": nil,
		"controllers: {node: {leakGracePeriod: ''}}":    nil,
		"controllers: {node: {leakGracePeriod: '0'}}":   new(time.Duration(0)),
		"controllers: {node: {leakGracePeriod: 0s}}":    new(time.Duration(0)),
		"controllers: {node: {leakGracePeriod: 15m}}":   new(15 * time.Minute),
		"controllers: {node: {leakGracePeriod: 720h}}":  new(720 * time.Hour),
		"controllers: {node: {leakGracePeriod: 1m30s}}": new(90 * time.Second),
	} {
		object, problems := check(t, object(KindControllerConfiguration, "default", spec))
		if problems != "" {
			t.Errorf("%s: %s", spec, problems)
			continue
		}
		got := object.(*ControllerConfiguration).LeakGrace
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: got %v, want %v", spec, got, want)
		}
	}
}
