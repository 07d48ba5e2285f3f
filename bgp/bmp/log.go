package bmp

// entry is one message.
type entry struct {
	data []byte
	post bool // for those who want to know what policy makes of it
}

// log is what happened lately, for all stations that are connected.
type log struct {
	limit   int // octets
	entries []entry
	base    uint64 // number of the first entry
	octets  int
	readers []*reader
}

// reader is a place in the log.
type reader struct {
	next uint64
	post bool
	wake chan struct{} // signalled when there is more
}

// open is a reader of what comes from now on.
func (l *log) open(post bool) *reader {
	r := &reader{next: l.base + uint64(len(l.entries)), post: post, wake: make(chan struct{}, 1)}
	l.readers = append(l.readers, r)
	return r
}

// close forgets r, and everything when it was the last.
func (l *log) close(r *reader) {
	for i, o := range l.readers {
		if o == r {
			l.readers = append(l.readers[:i], l.readers[i+1:]...)
			break
		}
	}
	if len(l.readers) == 0 {
		l.base += uint64(len(l.entries))
		l.entries, l.octets = nil, 0
	}
	l.trim()
}

func (l *log) add(data []byte, post bool) {
	l.entries = append(l.entries, entry{data, post})
	l.octets += len(data)
	for l.octets > l.limit {
		l.drop()
	}
	for _, r := range l.readers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// behind reports whether what r needs next is gone.
func (l *log) behind(r *reader) bool { return r.next < l.base }

// read appends what r has not read, up to about max octets, and counts it.
func (l *log) read(r *reader, b [][]byte, max int) (batch [][]byte, octets int) {
	for i := r.next - l.base; i < uint64(len(l.entries)) && octets < max; i++ {
		e := l.entries[i]
		r.next++
		if e.post && !r.post {
			continue
		}
		b = append(b, e.data)
		octets += len(e.data)
	}
	l.trim()
	return b, octets
}

// trim forgets what everybody has read.
func (l *log) trim() {
	for len(l.entries) > 0 {
		for _, r := range l.readers {
			if r.next <= l.base {
				return
			}
		}
		l.drop()
	}
}

func (l *log) drop() {
	l.octets -= len(l.entries[0].data)
	l.entries[0] = entry{}
	l.entries = l.entries[1:]
	l.base++
}
