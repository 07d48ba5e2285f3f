package engine

// chunkSize is how many records are made at once: few enough for a host with a
// handful of routes.
const chunkSize = 512

// slab is records that stay where they are, in chunks: growing copies nothing
// and leaves nothing to collect.
type slab[T any, ID ~uint32] struct {
	chunks []*[chunkSize]T
	n      int
}

func (s *slab[T, ID]) len() int { return s.n }

// at is the record i, which is below len.
func (s *slab[T, ID]) at(i ID) *T { return &s.chunks[i/chunkSize][i%chunkSize] }

// add is the place of another record, which is zero.
func (s *slab[T, ID]) add() ID {
	i := s.n
	s.grow(i + 1)
	return ID(i)
}

// grow makes it n records at least.
func (s *slab[T, ID]) grow(n int) {
	for len(s.chunks)*chunkSize < n {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.n = max(s.n, n)
}
