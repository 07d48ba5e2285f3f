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

// page turns a part of a range as etcd tells it into one of the port's.
func (s *Store) page(kvs []*mvccpb.KeyValue, more bool, revision int64) store.Page {
	page := store.Page{Revision: revision, KVs: make([]store.KV, len(kvs))}
	for i, kv := range kvs {
		page.KVs[i] = s.kv(kv)
	}
	if more {
		page.Next = page.KVs[len(page.KVs)-1].Key + "\x00"
	}
	return page
}

// event turns an event of etcd's into one of the port's.
func (s *Store) event(e *mvccpb.Event) store.Event {
	kv := s.kv(e.Kv)
	if e.Type == mvccpb.Event_DELETE {
		return store.Event{Type: store.Delete, KV: store.KV{Key: kv.Key, ModRevision: kv.ModRevision}}
	}
	return store.Event{Type: store.Put, KV: kv}
}
