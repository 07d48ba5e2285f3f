package engine

import "unsafe"

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

// sparse is records of which chunks without any are not there: those of routes
// of another family.
type sparse[T any, ID ~uint32] struct {
	chunks []*[chunkSize]T
	n      int
}

func (s *sparse[T, ID]) len() int { return s.n }

// at is the record i, which is not to be changed; zero if it is not there.
func (s *sparse[T, ID]) at(i ID) (record T) {
	if int(i) < s.n && s.chunks[i/chunkSize] != nil {
		return s.chunks[i/chunkSize][i%chunkSize]
	}
	return record
}

// place is the record i, made if it is not there.
func (s *sparse[T, ID]) place(i ID) *T {
	for len(s.chunks) <= int(i/chunkSize) {
		s.chunks = append(s.chunks, nil)
	}
	if s.chunks[i/chunkSize] == nil {
		s.chunks[i/chunkSize] = new([chunkSize]T)
	}
	s.n = max(s.n, int(i)+1)
	return &s.chunks[i/chunkSize][i%chunkSize]
}

func (s *sparse[T, ID]) octets() int {
	octets := 0
	for _, c := range s.chunks {
		if c != nil {
			octets += int(unsafe.Sizeof(*c))
		}
	}
	return octets
}
