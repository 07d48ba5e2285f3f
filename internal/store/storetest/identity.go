package storetest

import (
	"errors"
	"sync"

	"github.com/projectvrouter/vrouter/internal/store"
)

func testWatchIdentity(f *fixture) {
	opts := one()
	opts.GUID = "11111111-2222-3333-4444-555555555555"
	f.mirror(f.client, opts).untilError(store.ErrForeign)
	cluster, _, err := store.EnsureIdentity(f.ctx, f.client)
	if err != nil {
		f.Fatal(err)
	}
	f.mirror(f.client, opts).untilError(store.ErrForeign)
	opts.GUID = cluster.GUID
	f.mirror(f.client, opts).until(1)
}

// testIdentity has many hosts start on an empty store: they agree.
func testIdentity(f *fixture) {
	if _, _, err := store.Identity(f.ctx, f.client); !errors.Is(err, store.ErrNotFound) {
		f.Fatalf("identity of an empty store: %v", err)
	}
	ctx := f.ctx
	guids := make([]string, 8)
	var all sync.WaitGroup
	for i := range guids {
		all.Go(func() {
			c, revision, err := store.EnsureIdentity(ctx, f.client)
			if err != nil || revision == 0 {
				f.Errorf("revision %d, %v", revision, err)
			}
			guids[i] = c.GUID
		})
	}
	all.Wait()
	for _, g := range guids {
		if g == "" || g != guids[0] {
			f.Fatalf("identities %v", guids)
		}
	}
	copied := store.Copy{GUID: "lost", Revision: 1 << 40}
	adopted, _, err := store.Adopt(ctx, f.client, copied)
	if err != nil || adopted.GUID != guids[0] || adopted.Epoch != 1 {
		f.Fatalf("adopted %+v, %v", adopted, err)
	}
	found, revision, err := store.Identity(ctx, f.client)
	if v := store.Judge(copied, found, true, revision); err != nil || v.Kind != store.Adopted {
		f.Fatalf("verdict %+v, %v", v, err)
	}
}
