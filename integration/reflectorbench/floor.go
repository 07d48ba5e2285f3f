package reflectorbench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Floor accepts sessions on a listener until ctx ends and copies the bytes of
// each client's UPDATEs to all others: what no reflector on these sockets can
// be faster than. It looks at nothing but the length of messages, except when
// a client dies, whose routes it withdraws. All it copied stays in memory, for
// late clients.
func Floor(ctx context.Context, l net.Listener) error {
	f := new(floor)
	f.grown = sync.NewCond(&f.mu)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a client: %w", err)
		}
		go f.serve(conn)
	}
}

type floor struct {
	mu    sync.Mutex // guards the rest and every session's gone
	grown *sync.Cond // on mu: log grew, or a session has ended
	log   []entry    // only ever appended to
}

// entry is UPDATEs of one client, whole and in order.
type entry struct {
	from    *session
	updates []byte
}

type session struct {
	conn net.Conn
	gone bool
}

// serve runs one session. Hold time zero: there are no keepalives.
func (f *floor) serve(conn net.Conn) {
	s := &session{conn: conn}
	out := appendKeepalive(openMessage(clusterID, 0, conn.LocalAddr().(*net.TCPAddr).IP.To4() == nil))
	if _, err := conn.Write(out); err != nil {
		_ = conn.Close()
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		f.write(s)
	}()
	_ = f.read(s) // the end of a session is no error: its client has died
	f.end(s)
	_ = conn.Close() // the writer may hang in it
	<-written
}

// read appends the client's UPDATEs to the log.
func (f *floor) read(s *session) error {
	buf := make([]byte, readBuffer)
	have := 0
	for {
		n, err := s.conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		updates, taken, err := onlyUpdates(buf[:have])
		if err != nil {
			return err
		}
		have = copy(buf, buf[taken:have])
		if len(updates) > 0 {
			f.append(entry{from: s, updates: updates})
		}
	}
}

// onlyUpdates copies the UPDATEs among the complete messages in buf.
func onlyUpdates(buf []byte) (updates []byte, taken int, err error) {
	for {
		kind, _, n, err := nextMessage(buf[taken:])
		if err != nil || n == 0 {
			return updates, taken, err
		}
		if kind == msgUpdate {
			if updates == nil {
				updates = make([]byte, 0, len(buf)-taken)
			}
			updates = append(updates, buf[taken:taken+n]...)
		}
		taken += n
	}
}

func (f *floor) append(e entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, e)
	f.grown.Broadcast()
}

// write hands the client what all others said, from the beginning.
func (f *floor) write(s *session) {
	for at := 0; ; {
		f.mu.Lock()
		for len(f.log) == at && !s.gone {
			f.grown.Wait()
		}
		news, gone := f.log[at:], s.gone
		f.mu.Unlock()
		if gone {
			return
		}
		at += len(news)
		out := make(net.Buffers, 0, len(news))
		for _, e := range news {
			if e.from != s {
				out = append(out, e.updates)
			}
		}
		if _, err := out.WriteTo(s.conn); err != nil {
			return
		}
	}
}

// end withdraws what the client of a session announced.
func (f *floor) end(s *session) {
	f.mu.Lock()
	s.gone = true
	log := f.log
	f.grown.Broadcast()
	f.mu.Unlock()
	w := withdrawal{seen: make(map[string]bool)}
	for _, e := range log {
		if e.from != s {
			continue
		}
		if err := w.add(e.updates); err != nil {
			return // a client of ours that sends what cannot be parsed
		}
	}
	if out := w.messages(); len(out) > 0 {
		f.append(entry{from: s, updates: out})
	}
}

// withdrawal collects the prefixes of UPDATEs, each once, by family: those of
// the body, and those of MP_REACH_NLRI.
type withdrawal struct {
	seen  map[string]bool // encoded prefixes
	nlri  [2][]byte
	chunk [2][]int // where a message's worth of them ends
}

func (w *withdrawal) add(updates []byte) error {
	for len(updates) > 0 {
		_, body, n, err := nextMessage(updates)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		var u update
		if err := u.parse(body); err != nil {
			return err
		}
		for family, nlri := range u.announced {
			if err := w.addNLRI(family, nlri); err != nil {
				return err
			}
		}
		updates = updates[n:]
	}
	return nil
}

func (w *withdrawal) addNLRI(family int, nlri []byte) error {
	const room = maxMessage - headerLen - 16 // lengths, and MP_UNREACH_NLRI's head
	for len(nlri) > 0 {
		_, _, rest, ok := cutPrefix(nlri)
		if !ok {
			return errors.New("routes are cut short")
		}
		prefix := nlri[:len(nlri)-len(rest)]
		nlri = rest
		if w.seen[string(prefix)] {
			continue
		}
		w.seen[string(prefix)] = true
		begin := 0
		if ends := w.chunk[family]; len(ends) > 0 {
			begin = ends[len(ends)-1]
		}
		if len(w.nlri[family])+len(prefix)-begin > room {
			w.chunk[family] = append(w.chunk[family], len(w.nlri[family]))
		}
		w.nlri[family] = append(w.nlri[family], prefix...)
	}
	return nil
}

// messages are the UPDATEs that withdraw all.
func (w *withdrawal) messages() (out []byte) {
	for family, nlri := range w.nlri {
		if len(nlri) == 0 {
			continue
		}
		begin := 0
		for _, end := range append(w.chunk[family], len(nlri)) {
			out = appendWithdrawal(out, family == 1, nlri[begin:end])
			begin = end
		}
	}
	return out
}

// appendWithdrawal writes an UPDATE that withdraws one message's worth.
func appendWithdrawal(dst []byte, ipv6 bool, nlri []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, msgUpdate)
	if !ipv6 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(nlri)))
		dst = append(append(dst, nlri...), 0, 0)
		return endMessage(dst, start)
	}
	dst = binary.BigEndian.AppendUint16(append(dst, 0, 0), uint16(7+len(nlri)))
	dst = append(dst, flagOptional|flagExtended, attrMPUnreach)
	dst = binary.BigEndian.AppendUint16(dst, uint16(3+len(nlri)))
	dst = append(append(dst, 0, afiIPv6, safiUnicast), nlri...)
	return endMessage(dst, start)
}
