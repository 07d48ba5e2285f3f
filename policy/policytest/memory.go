package policytest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/projectvrouter/vrouter/policy"
)

// Memory is a Dataplane in memory: it enforces nothing, and is as strict as the
// port allows about what it is told.
type Memory struct {
	changed chan struct{}

	mu     sync.Mutex // guards the rest
	state  *policy.State
	synced bool
	refuse error
	syncs  int
}

// NewMemory returns a dataplane that holds nothing.
func NewMemory() *Memory {
	return &Memory{changed: make(chan struct{}, 1), state: new(policy.State)}
}

// Sync implements [policy.Dataplane].
func (m *Memory) Sync(_ context.Context, all *policy.Update) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = false
	if m.refuse != nil {
		return m.refuse
	}
	for id, set := range all.Sets {
		if !set.New {
			return fmt.Errorf("sync: set %s is not told from the start", id)
		}
	}
	fresh := new(policy.State)
	if err := errors.Join(fresh.Apply(all), fresh.Check()); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	m.state, m.synced = fresh, true
	m.syncs++
	return nil
}

// Apply implements [policy.Dataplane].
func (m *Memory) Apply(_ context.Context, u *policy.Update) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.synced {
		return errors.New("apply: no sync before, or a failure since")
	}
	if m.refuse != nil {
		m.synced = false
		return m.refuse
	}
	if err := errors.Join(m.state.Apply(u), m.state.Check()); err != nil {
		m.synced = false
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// Changed implements [policy.Dataplane].
func (m *Memory) Changed() <-chan struct{} { return m.changed }

// Counters implements [policy.Dataplane]: nothing is counted.
func (m *Memory) Counters(context.Context) ([]policy.Counter, error) { return nil, nil }

// Clean implements [policy.Dataplane].
func (m *Memory) Clean(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.synced = new(policy.State), false
	return nil
}

// Close implements [policy.Dataplane].
func (m *Memory) Close() error { return nil }

// Refuse has every call fail with err from now on; nil ends it.
func (m *Memory) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Flush does what a stranger does who removes all rules.
func (m *Memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = new(policy.State)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Syncs returns how many times everything was read back with success.
func (m *Memory) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// See calls f with what is enforced, which f must not keep.
func (m *Memory) See(f func(*policy.State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.state)
}
