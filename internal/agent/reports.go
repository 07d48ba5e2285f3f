package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// reportPause is the least time between two reports, while hosts connect one
// after the other.
const reportPause = time.Second

// reports is the edge sessions → what the controller reads of a reflector.
type reports struct {
	node, bootID string
	store        store.Store
	feed         *feed
	log          hclog.Logger
	changed      chan struct{}

	mu     sync.Mutex // guards the rest
	served []string
	member bool // we reflect for a group: without, there is nothing to report
}

func newReports(id Identity, s store.Store, f *feed, log hclog.Logger) *reports {
	return &reports{node: id.Name, bootID: id.BootID, store: s, feed: f, log: log, changed: make(chan struct{}, 1)}
}

// served is the hosts of the groups that node reflects for whose sessions are
// all established and have told everything; false: it reflects for none.
func served(node string, grouping *bgp.Grouping, peers []bgp.PeerState) ([]string, bool) {
	groups := grouping.GroupsOf(node)
	if len(groups) == 0 {
		return nil, false
	}
	whole := make(map[string]bool)
	for _, p := range peers {
		host := p.Session.PeerNode
		if !slices.Contains(groups, grouping.HostOf(host)) {
			continue
		}
		complete := p.State == bgp.Established && p.EndOfRIB == p.Session.Carried()
		if before, seen := whole[host]; seen {
			complete = complete && before
		}
		whole[host] = complete
	}
	var hosts []string
	for host, is := range whole {
		if is {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts, true
}

// set states what there is to report.
func (r *reports) set(hosts []string, member bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if member == r.member && slices.Equal(hosts, r.served) {
		return
	}
	r.served, r.member = hosts, member
	signal(r.changed)
}

// Run publishes until ctx ends.
func (r *reports) Run(ctx context.Context) error {
	for wait(ctx, r.changed) {
		if _, ours := r.feed.Ours(ctx); !ours {
			return nil
		}
		if err := r.publish(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("report was not published", "retry_in", longPause, "error", err)
			signal(r.changed)
			if !sleep(ctx, longPause) {
				return nil
			}
		}
		if !sleep(ctx, reportPause) {
			return nil
		}
	}
	return nil
}

// publish writes the report, or removes it where there is nothing to report.
func (r *reports) publish(ctx context.Context) error {
	r.mu.Lock()
	report := &vrouterv1.ReflectorReport{BootId: proto.String(r.bootID), Served: r.served}
	member := r.member
	r.mu.Unlock()
	key := store.StatusKey(store.ReflectorReport, "", r.node)
	kv, _, err := r.store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	op := store.Op{Key: key, Delete: !member}
	if member {
		if op.Value, err = (proto.MarshalOptions{Deterministic: true}).Marshal(report); err != nil {
			return fmt.Errorf("encode report: %w", err)
		}
	}
	if !member && kv.ModRevision == 0 || member && string(op.Value) == string(kv.Value) {
		return nil
	}
	_, err = r.store.Txn(ctx, []store.Compare{{Key: key, ModRevision: kv.ModRevision}}, []store.Op{op})
	return err
}
