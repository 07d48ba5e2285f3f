package server

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/policy/explain"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// ownerTime bounds how long the owner of an end is asked: without an answer it
// is not known what is in force there, and the rest is said all the same.
const ownerTime = 3 * time.Second

// The words for whether an owner enforces what is stored.
const (
	programmedYes     = "yes"
	programmedNo      = "no"
	programmedUnknown = "unknown"
)

// Explain judges a packet by what is stored, and asks the owners of its ends.
func (s *nodes) Explain(ctx context.Context, req *vrouterv1.ExplainRequest) (*vrouterv1.ExplainResponse, error) {
	probe, err := probeOf(req)
	if err != nil {
		return nil, err
	}
	answer, owners, err := s.judge(ctx, probe)
	if err != nil {
		return nil, err
	}
	for i, end := range answer.GetEnds() {
		s.compare(ctx, owners[i], end)
	}
	return answer, nil
}

// owner is who is asked about an end, and the digest that it should answer; ask
// is nil where there is nobody to ask.
type owner struct {
	ask    *vrouterv1.GetPolicyStateRequest
	digest string
}

// judge reads the cluster and sends the probe through it. Of a large cluster
// that takes much memory for a moment: one call at a time does.
func (s *nodes) judge(ctx context.Context, probe explain.Probe) (*vrouterv1.ExplainResponse, []owner, error) {
	select {
	case s.judging <- struct{}{}:
		defer func() { <-s.judging }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	objects, err := s.stored(ctx)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := explain.NewFor(objects, probe)
	if err != nil {
		return nil, nil, err
	}
	answer, err := cluster.Explain(probe)
	if err != nil {
		return nil, nil, invalid("", "%v", err)
	}
	owners := make([]owner, len(answer.GetEnds()))
	for i, end := range answer.GetEnds() {
		if owners[i].ask, owners[i].digest, err = cluster.Subject(end); err != nil {
			return nil, nil, err
		}
	}
	return answer, owners, nil
}

// probeOf checks a request. Every problem is told by the name of its field.
func probeOf(req *vrouterv1.ExplainRequest) (explain.Probe, error) {
	p := explain.Probe{From: req.GetFrom(), To: req.GetTo(), Protocol: explain.DefaultProtocol, Interface: req.GetInterface()}
	bad := &resource.Invalid{}
	add := func(path, reason string) {
		bad.Problems = append(bad.Problems, resource.Problem{Path: path, Reason: reason})
	}
	if text := req.GetProtocol(); text != "" {
		var err error
		if p.Protocol, err = explain.ParseProtocol(text); err != nil {
			add("protocol", err.Error())
		}
	}
	numbers(req, &p, add)
	switch req.GetFamily() {
	case "":
	case "IPv4":
		p.IPVersion = 4
	case "IPv6":
		p.IPVersion = 6
	default:
		add("family", fmt.Sprintf("%q is neither IPv4 nor IPv6", req.GetFamily()))
	}
	if len(bad.Problems) == 0 {
		if err := p.Check(); err != nil {
			for problem := range strings.Lines(err.Error()) {
				path, reason, _ := strings.Cut(strings.TrimSpace(problem), ": ")
				add(path, reason)
			}
		}
	}
	if len(bad.Problems) > 0 {
		return p, bad
	}
	return p, nil
}

// numbers takes over ports and ICMP's type and code.
func numbers(req *vrouterv1.ExplainRequest, p *explain.Probe, add func(path, reason string)) {
	for _, port := range []struct {
		path string
		from uint32
		to   *uint16
	}{
		{"port", req.GetPort(), &p.Port}, {"sourcePort", req.GetSourcePort(), &p.SourcePort},
		{"preDnatPort", req.GetPreDnatPort(), &p.PreDNATPort},
	} {
		if port.from > math.MaxUint16 {
			add(port.path, fmt.Sprintf("%d is not a port", port.from))
		}
		*port.to = uint16(port.from)
	}
	for _, number := range []struct {
		path string
		from *uint32
		to   **uint8
	}{{"icmpType", req.IcmpType, &p.ICMPType}, {"icmpCode", req.IcmpCode, &p.ICMPCode}} {
		if number.from == nil {
			continue
		}
		if *number.from > math.MaxUint8 {
			add(number.path, fmt.Sprintf("%d is above 255", *number.from))
		}
		n := uint8(*number.from)
		*number.to = &n
	}
}

// stored returns all objects that policy depends on, as far as they can be read
// and hold. Hosts go on with an earlier form of what does not.
func (s *nodes) stored(ctx context.Context) ([]resource.Object, error) {
	var list []resource.Object
	for _, kind := range explain.Kinds() {
		_, err := store.Scan(ctx, s.store, store.KindPrefix(string(kind)), 0, func(kv store.KV) {
			msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
			if err != nil {
				return // every agent complains of it
			}
			if object, err := resource.Check(msg); err == nil {
				list = append(list, object)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
	}
	return list, nil
}

// compare says whether the owner of an end enforces what is stored.
func (s *nodes) compare(ctx context.Context, of owner, end *vrouterv1.PolicyEnd) {
	if of.ask == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownerTime)
	defer cancel()
	have, err := s.GetPolicyState(ctx, of.ask)
	switch {
	case err != nil:
		end.Programmed, end.ProgrammedReason = programmedUnknown, statusOf(err).Message()
	case have.GetPolicy() == "none":
		end.Programmed, end.ProgrammedReason = programmedNo, "the host enforces no policy"
	case have.GetProblem() != "":
		end.Programmed = programmedNo
		end.ProgrammedReason = fmt.Sprintf("older state since %s: %s",
			have.GetRefusedSince().AsTime().Format(time.RFC3339), have.GetProblem())
	case !have.GetEnforced():
		end.Programmed, end.ProgrammedReason = programmedNo, "the host enforces nothing for it yet"
	case have.GetDigest() != of.digest:
		end.Programmed, end.ProgrammedReason = programmedNo, "the host enforces another state, and has not caught up"
	default:
		end.Programmed = programmedYes
	}
}
