package agent

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// status reads the published status of an endpoint; nil: there is none.
func (r *rig) status(workload string) *vrouterv1.WorkloadEndpointStatus {
	r.t.Helper()
	kv, _, err := r.store.Get(r.t.Context(), statusKeyOf(workload))
	if err != nil {
		return nil
	}
	s := new(vrouterv1.WorkloadEndpointStatus)
	if err := proto.Unmarshal(kv.Value, s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func statusKeyOf(workload string) string {
	return store.StatusKey("WorkloadEndpoint", "default", idOf(workload).KeyName())
}

// version is the revision at which the status of an endpoint was written.
func (r *rig) version(workload string) int64 {
	kv, _, _ := r.store.Get(r.t.Context(), statusKeyOf(workload))
	return kv.ModRevision
}

func TestStatusNamesTheRevision(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start()
		revision := fmt.Sprint(r.put(endpointObject("a", "host1", "10.0.0.1/32")))
		r.pass(100 * time.Millisecond)
		if s := r.status("a"); s == nil || s.ProgrammedRevision != nil || s.GetNode() != "host1" || s.GetPolicy() != "none" || len(s.Problems) != 1 {
			t.Fatalf("registered: %v", s)
		}
		r.kernel.AddLink("w-a")
		r.pass(2 * time.Second)
		if s := r.status("a"); s.GetProgrammedRevision() != revision || s.GetAdvertisedRevision() != revision || len(s.Problems) > 0 {
			t.Fatalf("advertised: %v, want revision %s", s, revision)
		}
	})
}

// A status is written once a second at most, its last state at the end, and
// not again when nothing changed, over a restart either.
func TestStatusIsRateLimited(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		r.pass(500 * time.Millisecond)
		if first := r.status("a"); first.GetAdvertisedRevision() == "" {
			t.Errorf("the first status was not that at rest: %v", first)
		}
		seen := map[int64]bool{}
		for range 50 { // up and down for 5 s
			r.kernel.SetUp("w-a", false)
			r.pass(50 * time.Millisecond)
			seen[r.version("a")] = true
			r.kernel.SetUp("w-a", true)
			r.pass(50 * time.Millisecond)
			seen[r.version("a")] = true
		}
		if len(seen) > 7 {
			t.Errorf("%d statuses in 5 s", len(seen))
		}
		r.pass(3 * time.Second)
		if s := r.status("a"); s.GetAdvertisedRevision() == "" {
			t.Fatalf("the last state was not published: %v", s)
		}
		before := r.version("a")
		r.pass(time.Minute)
		r.start()
		r.pass(time.Minute)
		if after := r.version("a"); after != before {
			t.Errorf("written again at %d, was %d", after, before)
		}
	})
}

func TestStatusesOfAHostAreRateLimited(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		const n = 200
		var all []proto.Message
		for i := range n {
			e := endpointObject(fmt.Sprintf("e%d", i), "host1", fmt.Sprintf("10.0.1.%d/32", i))
			e.Spec.InterfaceName = proto.String("w-all")
			all = append(all, e)
		}
		r.kernel.AddLink("w-all")
		for i := 0; i < n; i += 100 {
			r.putAll(all[i : i+100]...)
		}
		r.start()
		count := func() int {
			page, err := r.store.List(t.Context(), store.StatusPrefix, store.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return len(page.KVs)
		}
		r.pass(time.Second)
		if got := count(); got == 0 || got > 2*statusPerHost {
			t.Errorf("%d statuses in the first second", got)
		}
		// One that comes meanwhile is not last for long.
		r.pass(9 * time.Second)
		if got := count(); got != n {
			t.Errorf("%d statuses, want %d", got, n)
		}
	})
}

// A status is written only over the spec that it holds for, and not into a
// store that is not ours.
func TestStatusComparesTheSpec(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.client.Disconnect() // the agent does not hear of what follows
		r.pass(time.Second)
		r.agent.stages.set(idOf("a"), Progress{Revision: 3, Programmed: true})
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("a", "host2", "10.0.0.1/32"))
		r.client.Reconnect()
		r.pass(time.Minute)
		if s := r.status("a"); s != nil {
			t.Errorf("status %v of an endpoint that lives elsewhere", s)
		}
	})
}

// An endpoint whose status cannot be written does not hold up the others.
func TestStatusStoreIsFull(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.pass(2 * time.Second)
		r.store.SetFull(true)
		r.kernel.SetUp("w-a", false)
		r.pass(time.Minute)
		if s := r.status("a"); s.GetAdvertisedRevision() == "" {
			t.Fatalf("a full store took a status: %v", s)
		}
		r.wantNotReady()
		r.store.SetFull(false)
		r.pass(time.Minute)
		if s := r.status("a"); s.GetAdvertisedRevision() != "" {
			t.Errorf("the status was not made up for: %v", s)
		}
	})
}

// After an adoption nothing is known of what stands in the store.
func TestStatusAfterAdoption(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		backup := r.store.Backup() // the spec without its status
		if s := r.status("a"); s != nil {
			t.Fatalf("published before it came to rest: %v", s)
		}
		r.pass(time.Minute)
		r.store.Restore(backup)
		r.pass(time.Minute)
		if s := r.status("a"); s != nil {
			t.Fatalf("a foreign store was given %v", s)
		}
		r.adopt()
		if s := r.status("a"); s.GetAdvertisedRevision() == "" {
			t.Errorf("status %v after the adoption", s)
		}
	})
}
