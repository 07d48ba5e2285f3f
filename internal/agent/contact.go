package agent

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/view"
)

// A watch hides that its server is gone, so the store is asked for its revision
// now and then: a small read, a hundred a second for a thousand hosts.
const (
	probePause = 10 * time.Second
	probeLimit = 5 * time.Second
)

// feed is the edge store → view. It decides whether the store is the one that
// this node knew, holds everything back while it is not, and says how we stand
// with it.
type feed struct {
	store  store.Store
	view   *view.View
	log    hclog.Logger
	health *telemetry.Health
	adopt  chan struct{} // signalled when Adopt was called here

	mu       sync.Mutex    // guards the rest
	known    store.Copy    // identity and revision that this node has seen last, without values
	foreign  string        // why the store is not ours; empty when it is
	ours     bool          // the store was found to be ours in this run, and not to be foreign since
	behind   bool          // the store is of this cluster, in an older state
	turned   chan struct{} // closed and replaced when ours changes
	told     bool          // the store that is ours now was in sync with the view once
	watching error         // why there is no watch
	probing  error         // why the store did not answer when it was asked last
	newest   int64         // revision that the store has named
	answered time.Time     // when it was known last that the store answers
}

func newFeed(s store.Store, v *view.View, known store.Copy, health *telemetry.Health, log hclog.Logger) *feed {
	known.KVs = nil
	return &feed{
		store: s, view: v, known: known, health: health, log: log,
		adopt: make(chan struct{}, 1), turned: make(chan struct{}),
	}
}

// Probe asks the store for its revision now and then, until ctx ends.
func (f *feed) Probe(ctx context.Context) error {
	for sleep(ctx, probePause) {
		asked := time.Now()
		asking, cancel := context.WithTimeout(ctx, probeLimit)
		revision, err := f.store.Revision(asking)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		f.probed(revision, asked, err)
	}
	return nil
}

// Identity returns the cluster GUID and epoch that this node holds to.
func (f *feed) Identity() (guid string, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known.GUID, f.known.Epoch
}

// Ours waits until the store was found to be the one of this node: nothing may
// be written to it before. False: ctx ended first.
func (f *feed) Ours(ctx context.Context) (guid string, ok bool) {
	for {
		f.mu.Lock()
		guid, ours, turned := f.known.GUID, f.ours, f.turned
		f.mu.Unlock()
		if ours {
			return guid, true
		}
		if !wait(ctx, turned) {
			return "", false
		}
	}
}

// Turned is closed when the store becomes ours, or foreign.
func (f *feed) Turned() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.turned
}

// Behind reports whether the store is of our cluster, in an older state, or was
// when it was seen first.
func (f *feed) Behind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.behind
}

// Foreign says why the store is not the one that this node knew; empty when
// it is, or was not reached.
func (f *feed) Foreign() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.foreign
}

// Lag returns how many revisions the store is ahead of the view, as far as is
// known, and whether it answered when it was heard or asked last.
func (f *feed) Lag() (revisions int64, answers bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, f.newest-f.view.Revision()), f.told && f.watching == nil && f.probing == nil
}

// Answered returns when it was known last that the store answers.
func (f *feed) Answered() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered
}

// Adopt accepts the store as it is. It returns the GUID, and false when there
// was nothing to adopt.
func (f *feed) Adopt(ctx context.Context) (string, bool, error) {
	f.mu.Lock()
	known, foreign := f.known, f.foreign != ""
	f.mu.Unlock()
	if !foreign {
		return known.GUID, false, nil
	}
	cluster, _, err := store.Adopt(ctx, f.store, known)
	if err != nil {
		return "", false, fmt.Errorf("adopt the store: %w", err)
	}
	signal(f.adopt)
	return cluster.GUID, true, nil
}

// seen returns the newest revision of our store that this node knows of.
func (f *feed) seen() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known.Revision
}

// accept notes that the store is ours.
func (f *feed) accept(cluster store.Cluster, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.GUID, f.known.Epoch, f.known.Revision = cluster.GUID, cluster.Epoch, revision
	f.foreign, f.behind = "", false
	f.turnLocked(true)
	f.reportLocked()
}

// adopted forgets what was known of the store before it became another one.
func (f *feed) adopted() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told, f.newest, f.watching = false, 0, nil
}

// heard notes a batch of the watch.
func (f *feed) heard(b store.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.Revision = max(f.known.Revision, b.Revision)
	f.newest = max(f.newest, b.Revision)
	f.told = f.told || b.Synced
	f.watching, f.answered = nil, time.Now()
	f.reportLocked()
}

func (f *feed) probed(revision int64, asked time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.probing == nil:
		f.log.Warn("store does not answer", "retry_in", probePause, "error", err)
	case err == nil && f.probing != nil:
		f.log.Info("store answers again", "revision", revision)
	}
	if f.ours {
		f.newest = max(f.newest, revision)
	}
	if err == nil {
		f.answered = asked
	}
	f.probing = err
	f.reportLocked()
}

func (f *feed) setWatching(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watching = err
	f.reportLocked()
}

func (f *feed) setForeign(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.foreign == "" { // later reasons differ in numbers only
		f.log.Error("the store is not the one that this node knew", "error", reason)
	}
	f.foreign = reason
	f.turnLocked(false)
	f.reportLocked()
}

func (f *feed) turnLocked(ours bool) {
	if f.ours != ours {
		f.ours = ours
		close(f.turned)
		f.turned = make(chan struct{})
	}
}

// reportLocked states the condition of the store. Losing a store that has told
// everything does not turn the node red: it holds and forwards what it was told
// last, a restart would mend nothing, and all hosts lose a store at once, so
// that whoever acts upon readiness would take all of them out of service. It
// shows as a remark on the condition, in status and in the metrics. A store
// that was never heard in this run, and a foreign one, do turn it red: then the
// node may hold what nobody wants any longer.
func (f *feed) reportLocked() {
	trouble := cmp.Or(f.watching, f.probing)
	switch {
	case f.foreign != "":
		f.health.Set(conditionStore, false, f.foreign+"; nothing is removed until `vrouterctl cluster adopt`")
	case trouble != nil && f.told:
		f.health.Set(conditionStore, true, fmt.Sprintf("datastore: %v; changes wait, forwarding goes on", trouble))
	case trouble != nil:
		f.health.Set(conditionStore, false, fmt.Sprintf("datastore: %v", trouble))
	case !f.told:
		f.health.Set(conditionStore, false, "reading the datastore")
	default:
		f.health.Set(conditionStore, true, "")
	}
}
