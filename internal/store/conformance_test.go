package store_test

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Can{Cut: true, Wipe: true}, func(*testing.T) *storetest.Server {
		m := store.NewMemory()
		return &storetest.Server{
			Open: func(*testing.T) storetest.Client {
				c := m.Open()
				return storetest.Client{Store: c, Cut: c.Disconnect, Mend: c.Reconnect}
			},
			Compact: func(t *testing.T, revision int64) {
				if err := m.Compact(revision); err != nil {
					t.Fatal(err)
				}
			},
			Wipe: func(*testing.T) { m.Wipe() },
		}
	})
}
