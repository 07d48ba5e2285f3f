package nftables

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// Options says where a Dataplane works.
type Options struct {
	// NetNS is a file descriptor of the network namespace; nil: that of the
	// process. It is used by New only.
	NetNS  *int
	Logger hclog.Logger // nil: none
}

// Dataplane is the policy.Dataplane on nftables.
type Dataplane struct {
	log     hclog.Logger
	sock    *socket
	watcher *watcher
	// protection is the flags that a table is made with.
	protection uint32
	// readOnce is the size from which on a set of members is read only once.
	readOnce int
	sum      summer

	// The rest belongs to the goroutine that calls.
	state *state // nil before a Sync, and after what failed
	units units
	held  *held
}

var _ policy.Dataplane = (*Dataplane)(nil)

// New opens the sockets, and looks whether the kernel has nftables. It changes
// nothing.
func New(o Options) (*Dataplane, error) {
	netns := -1
	if o.NetNS != nil {
		netns = *o.NetNS
	}
	log := o.Logger
	if log == nil {
		log = hclog.NewNullLogger()
	}
	sock, err := newSocket(netns)
	if err != nil {
		return nil, err
	}
	if _, err := sock.readTable(); err != nil {
		return nil, errors.Join(err, sock.close())
	}
	w, err := newWatcher(netns, sock.pid)
	if err != nil {
		return nil, errors.Join(err, sock.close())
	}
	return &Dataplane{log: log, sock: sock, watcher: w, protection: protection, readOnce: tooLargeToRead, sum: newSummer()}, nil
}

// Changed implements policy.Dataplane.
func (d *Dataplane) Changed() <-chan struct{} { return d.watcher.changed }

// Close implements policy.Dataplane. The table stays; where we owned it, the
// kernel leaves it without an owner.
func (d *Dataplane) Close() error { return errors.Join(d.watcher.close(), d.sock.close()) }

// Sync implements policy.Dataplane.
func (d *Dataplane) Sync(_ context.Context, all *policy.Update) error {
	before, wasGood := d.held, d.state != nil
	d.state = nil
	h, err := d.open()
	if err != nil {
		return err
	}
	if wasGood && d.sock.alone {
		h.recall(before)
	}
	d.held, d.units = h, units{}
	s := newState()
	if err := checkMask(all.Settings); err != nil {
		return err
	}
	dirty := s.merge(all)
	dirty.all = true
	if err := d.enforce(s.render(dirty, d.units)); err != nil {
		return err
	}
	d.state = s
	return nil
}

// enforce makes the table hold p and nothing else.
func (d *Dataplane) enforce(p *plan) error {
	h := d.held
	if d.protection != 0 && h.flags&protection == 0 {
		// Somebody else made the table, or an older kernel had us make it.
		err := d.replace(p)
		if !isUnsupported(err) {
			return err
		}
		d.protection, d.held = 0, h
	}
	if p.fits(h) {
		return d.write(p, true)
	}
	return d.replace(p)
}

// isUnsupported tells whether the kernel has not heard of a flag.
func isUnsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)
}

// Apply implements policy.Dataplane.
func (d *Dataplane) Apply(_ context.Context, u *policy.Update) error {
	s := d.state
	if s == nil {
		return errors.New("apply without a sync before")
	}
	if err := checkMask(u.Settings); err != nil {
		return err
	}
	d.state = nil
	if err := d.write(s.render(s.merge(u), d.units), false); err != nil {
		return err
	}
	d.state = s
	return nil
}

// Clean implements policy.Dataplane. The rules go first, by themselves: while a
// table goes, packets at work find its maps empty already.
func (d *Dataplane) Clean(context.Context) error {
	d.state = nil
	h, err := d.sock.readTable()
	if err != nil || !h.exists {
		return err
	}
	for _, step := range []func(*batch){(*batch).deleteRules, (*batch).deleteTable} {
		b := d.sock.newBatch()
		step(b)
		if err := d.sock.commit(b); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// protection is what keeps a table of ours from others: only our socket may
// change it, and it outlives the socket. Never the first without the second.
const protection = tableFlagOwner | tableFlagPersist

// open makes the table ours, and reads what is in it.
func (d *Dataplane) open() (*held, error) {
	h, err := d.sock.readTable()
	if err != nil {
		return nil, err
	}
	switch {
	case h.owner == d.sock.pid:
	case h.flags&tableFlagOwner != 0:
		return nil, fmt.Errorf("table %s is owned by another process (netlink port %d)", tableName, h.owner)
	case !h.exists || d.protection != 0 && h.flags&protection == tableFlagPersist:
		if err := d.own(!h.exists); err != nil {
			return nil, err
		}
	}
	return d.sock.readAllMembers()
}

// own makes the table, or takes over one that a process before us has left.
func (d *Dataplane) own(isNew bool) error {
	b := d.sock.newBatch()
	b.addTable(d.protection)
	err := d.sock.commit(b)
	if !isNew || d.protection == 0 || !isUnsupported(err) {
		return err
	}
	d.log.Info("kernel cannot protect the table from others", "table", tableName)
	d.protection = 0
	return d.own(isNew)
}
