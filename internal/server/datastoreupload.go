package server

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/calico"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// formatCalico is what calicoctl and kubectl write of Calico's objects.
const formatCalico = "calico"

// maxCalico bounds what is sent of it: some 400,000 endpoints, which take about
// forty times as much memory while they are read.
const maxCalico = 128 << 20

// uploaded reads what a client streams.
type uploaded struct {
	stream grpc.ClientStreamingServer[vrouterv1.ImportRequest, vrouterv1.ImportResponse]
	next   *vrouterv1.ImportRequest // received, and not read yet; nil: nothing
	rest   []byte
	err    error // of the stream
}

// receive returns the next message; io.EOF after the last.
func (u *uploaded) receive() (*vrouterv1.ImportRequest, error) {
	if m := u.next; m != nil {
		u.next = nil
		return m, nil
	}
	m, err := u.stream.Recv()
	switch {
	case err != nil:
	case m.GetDryRun():
		err = invalid("dryRun", "belongs to the first part")
	case m.GetFormat() != "":
		err = invalid("format", "belongs to the first part")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	return m, err
}

// Read reads all data as one file.
func (u *uploaded) Read(b []byte) (int, error) {
	for len(u.rest) == 0 {
		m, err := u.receive()
		if err != nil {
			return 0, err
		}
		u.rest = m.GetData()
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// export reads a file of Export, and checks it.
func (u *uploaded) export() (*backup.File, error) {
	f, err := backup.Parse(u)
	switch {
	case u.err != nil:
		return nil, u.err
	case errors.Is(err, backup.ErrDamaged):
		return nil, invalid("data", "%v", err)
	case err != nil:
		return nil, err
	}
	return f, f.Check()
}

// calico reads files of Calico's tools, and says in out what was made of them.
func (u *uploaded) calico(out *vrouterv1.ImportResponse) (*backup.File, error) {
	var files []calico.File
	for size := 0; ; {
		m, err := u.receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if size += len(m.GetData()); size > maxCalico {
			return nil, invalid("data", "it is more than %d bytes", maxCalico)
		}
		if name := m.GetFile(); len(files) == 0 || name != "" && name != files[len(files)-1].Name {
			files = append(files, calico.File{Name: name})
		}
		last := &files[len(files)-1]
		last.Data = append(last.Data, m.GetData()...)
	}
	t, err := calico.Convert(u.stream.Context(), files)
	if err != nil {
		return nil, err
	}
	out.Warnings = t.Warnings
	out.Converted = &vrouterv1.ImportConverted{Objects: int64(t.Objects), Endpoints: int64(t.Endpoints), Blocks: int64(t.Blocks),
		Addresses: int64(t.Addresses), External: int64(t.External)}
	return t.File, nil
}
