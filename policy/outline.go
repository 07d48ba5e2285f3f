package policy

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// takeLocked notes what the kernel enforces. Members of sets are left out: they
// are most of it, and what a set is follows from its ID.
func (t *Table) takeLocked(u *Update, full bool) {
	if full {
		t.outline = State{}
	}
	// What an update says is gone was there, or else the kernel refused it.
	_ = t.outline.Apply(&Update{
		Policies: u.Policies, Pipelines: u.Pipelines, Endpoints: u.Endpoints, HostEndpoints: u.HostEndpoints,
	})
}

// InForce calls f with what the kernel enforces, but for settings and the
// members of sets. f must be quick and keep nothing but what values point to.
func (t *Table) InForce(f func(*State)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.outline)
}

// EndpointDigest returns the identity of all that a workload endpoint is subject
// to; empty: it is not there.
func (s *State) EndpointDigest(id resource.EndpointID) string {
	e := s.Endpoints[id]
	if e == nil {
		return ""
	}
	return s.digest([]string{e.Ingress, e.Egress}, e.Interface, e.Addresses, e.Spoofs)
}

// HostEndpointDigest is EndpointDigest for a host endpoint, at the first of its
// interfaces that is found: they are all subject to the same.
func (s *State) HostEndpointDigest(id resource.ID) string {
	for _, h := range s.HostEndpoints {
		if h.ID == id {
			return s.digest([]string{
				h.Normal.Ingress, h.Normal.Egress, h.Forward.Ingress, h.Forward.Egress,
				h.Untracked.Ingress, h.Untracked.Egress, h.PreDNAT,
			})
		}
	}
	return ""
}

// digest renders what there is as JSON, which has one form for each value, and
// hashes that: the result is compared among hosts of the same version.
func (s *State) digest(pipelines []string, more ...any) string {
	hash := sha256.New()
	encoder := json.NewEncoder(hash)
	write := func(v any) {
		if err := encoder.Encode(v); err != nil {
			panic(err) // our own type
		}
	}
	write(more)
	for _, id := range pipelines {
		p := s.Pipelines[id]
		if write(p); p == nil {
			continue
		}
		for _, t := range p.Tiers {
			for _, ref := range t.Policies {
				write(s.Policies[ref.ID])
			}
		}
		for _, profile := range p.Profiles {
			write(s.Policies[profile])
		}
	}
	return strings.ToLower(base32.HexEncoding.EncodeToString(hash.Sum(nil)[:20]))
}
