package etcd

import (
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/projectvrouter/vrouter/internal/store"
)

// kv turns a key of etcd into one below the prefix.
func (s *Store) kv(kv *mvccpb.KeyValue) store.KV {
	return store.KV{
		Key:            strings.TrimPrefix(string(kv.Key), s.cfg.Prefix),
		Value:          kv.Value,
		CreateRevision: kv.CreateRevision,
		ModRevision:    kv.ModRevision,
	}
}

// event turns an event of etcd's into one of the port's.
func (s *Store) event(e *mvccpb.Event) store.Event {
	kv := s.kv(e.Kv)
	if e.Type == mvccpb.Event_DELETE {
		return store.Event{Type: store.Delete, KV: store.KV{Key: kv.Key, ModRevision: kv.ModRevision}}
	}
	return store.Event{Type: store.Put, KV: kv}
}
