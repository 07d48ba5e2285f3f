package flows

import (
	"testing"

	"github.com/projectvrouter/vrouter/policy"
)

// A watcher that does not come by misses what does not fit, and is told.
func TestSlowWatcher(t *testing.T) {
	w := newWatcher()
	for range queueLength + 7 {
		w.put(policy.Flow{})
	}
	w.miss(2)
	if queue, missed := w.take(); len(queue) != queueLength || missed != 9 {
		t.Errorf("%d wait, %d were missed", len(queue), missed)
	}
	w.put(policy.Flow{Length: 1})
	<-w.news
	if queue, missed := w.take(); len(queue) != 1 || missed != 9 {
		t.Errorf("after that %d wait, %d were missed", len(queue), missed)
	}
}
