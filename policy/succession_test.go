package policy

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"
)

type stubPlane struct {
	Dataplane
	refuse bool
	log    *[]string
}

func (p *stubPlane) Sync(context.Context, *Update) error {
	*p.log = append(*p.log, "sync")
	if p.refuse {
		return errors.New("refused")
	}
	return nil
}

func (p *stubPlane) Clean(context.Context) error {
	*p.log = append(*p.log, "clean")
	if p.refuse {
		return errors.New("refused")
	}
	return nil
}

func TestSucceed(t *testing.T) {
	var log []string
	next, before := &stubPlane{log: &log, refuse: true}, &stubPlane{log: &log, refuse: true}
	d := Succeed(next, hclog.NewNullLogger(), before)
	step := func(wantErr bool, want ...string) {
		t.Helper()
		log = nil
		if err := d.Sync(t.Context(), &Update{}); (err != nil) != wantErr {
			t.Errorf("sync: %v", err)
		}
		if !slices.Equal(log, want) {
			t.Errorf("did %v, want %v", log, want)
		}
	}
	step(true, "sync") // the old rules stay
	next.refuse = false
	step(false, "sync", "clean")
	before.refuse = false
	step(false, "sync", "clean")
	step(false, "sync")
}
