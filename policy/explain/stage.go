package explain

import (
	"fmt"

	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// decide asks a pipeline. Without one the packet goes on, and no stage is told.
// A bug of our own denies, and is kept.
func (w *walk) decide(point, pipeline, subject string, at place, p policy.Packet) policy.Action {
	if pipeline == "" {
		return policy.Pass
	}
	d, err := w.view.state.Decide(pipeline, p)
	if err != nil {
		w.err = fmt.Errorf("%s of %s: %w", point, subject, err)
		return policy.Deny
	}
	s := w.stage(point, at, d.Action, "")
	s.Subject = subject
	direction := w.view.state.Pipelines[pipeline].Direction
	s.Decided = w.hit(direction, d.Hit)
	for _, h := range d.Staged {
		s.Staged = append(s.Staged, w.hit(direction, h))
	}
	for _, h := range d.Logged {
		s.Logged = append(s.Logged, w.hit(direction, h))
	}
	if d.Action == policy.Deny {
		w.verdict = denied
		w.reason = fmt.Sprintf("%s on %s: %s", point, w.node, Describe(s.Decided))
	}
	return d.Action
}

// stop tells a stage that denies without a policy.
func (w *walk) stop(point string, at place, reason string) bool {
	w.stage(point, at, policy.Deny, reason)
	w.verdict, w.reason = denied, fmt.Sprintf("%s on %s: %s", point, w.node, reason)
	return false
}

// open tells a stage that allows without a policy.
func (w *walk) open(point string, at place, reason string) *vrouterv1.PolicyStage {
	return w.stage(point, at, policy.Allow, reason)
}

func (w *walk) stage(point string, at place, action policy.Action, reason string) *vrouterv1.PolicyStage {
	s := &vrouterv1.PolicyStage{Node: w.node, Point: point, Action: action.String(), Reason: reason, Interface: at.iface}
	if at.workload != nil {
		s.Interface, s.Subject = at.workload.Interface, at.workload.Endpoint.String()
	}
	w.stages = append(w.stages, s)
	return s
}

// hit renders what decided, with the text of the rule as it is stored.
func (c *Cluster) hit(d policy.Direction, h policy.Hit) *vrouterv1.PolicyHit {
	m := &vrouterv1.PolicyHit{Tier: h.Tier, Rule: int32(h.Rule), Action: h.Action.String()}
	if h.Policy.Name == "" {
		return m
	}
	m.Policy = h.Policy.String()
	if p := c.policies[h.Policy]; p != nil && h.Rule >= 0 && h.Rule < len(p.Rules(d)) {
		m.Text = ruleText(&p.Rules(d)[h.Rule])
	}
	return m
}

// Describe says in words what decided.
func Describe(h *vrouterv1.PolicyHit) string {
	switch {
	case h.GetPolicy() == "" && h.GetTier() == "":
		return "no policy and no profile decides"
	case h.GetPolicy() == "":
		return fmt.Sprintf("end of tier %s", h.GetTier())
	case h.GetTier() == "":
		return fmt.Sprintf("%s, rule %d", h.GetPolicy(), h.GetRule())
	}
	return fmt.Sprintf("%s, rule %d, tier %s", h.GetPolicy(), h.GetRule(), h.GetTier())
}
