package store

import "context"

// Lister is the part of a Store that reads ranges.
type Lister interface {
	List(ctx context.Context, prefix string, opts ListOptions) (Page, error)
}

// pageBytes is about how much a page of a long range has: little enough not to
// hold up others on its connection, and so much that a hundred make a large store.
const pageBytes = 4 << 20

// NextLimit returns how many keys the page after this one should have. Etcd
// counts the rest of the range for each page: to read a long one in small pages
// takes a time that grows with its square.
func (p Page) NextLimit() int {
	bytes := 1
	for _, kv := range p.KVs {
		bytes += len(kv.Key) + len(kv.Value)
	}
	return max(1, pageBytes*len(p.KVs)/bytes)
}

// Scan calls back with the keys of a range, read page by page, as they are at a
// revision, the newest for zero. It returns which that is. An error may come
// after some were told.
func Scan(ctx context.Context, s Lister, prefix string, revision int64, each func(KV)) (int64, error) {
	opts := ListOptions{Limit: ReadLimit, Revision: revision}
	for {
		p, err := s.List(ctx, prefix, opts)
		if err != nil {
			return 0, err
		}
		for _, kv := range p.KVs {
			each(kv)
		}
		if p.Next == "" {
			return p.Revision, nil
		}
		opts = ListOptions{Limit: p.NextLimit(), Start: p.Next, Revision: p.Revision}
	}
}
