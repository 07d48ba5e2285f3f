package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// importPortion is how many octets of a file go into a message.
const importPortion = 256 << 10

// writeWhole writes a file that appears when all of it is on the disk, readable
// by its owner alone.
func writeWhole(path string, write func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part") // mode 0600
	if err != nil {
		return usagef("FILE: %w", err)
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error says more
	}
	return err
}

// receiveExport copies the file. One without its summary is not whole.
func (a *app) receiveExport(ctx context.Context, c *client, without bool, to io.Writer) (*vrouterv1.ExportSummary, error) {
	ctx, waiting := c.patient(ctx)
	defer waiting.end()
	stream, err := c.datastore.Export(ctx, &vrouterv1.ExportRequest{WithoutSecrets: without})
	if err != nil {
		return nil, waiting.why(err)
	}
	var summary *vrouterv1.ExportSummary
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) && summary != nil {
			return summary, nil
		}
		if err = waiting.why(err); errors.Is(err, io.EOF) {
			return nil, errors.New("the export ended before it was whole")
		}
		if err != nil {
			return nil, err
		}
		waiting.heard()
		if m.GetSummary() != nil {
			summary = m.GetSummary()
		}
		if _, err := to.Write(m.GetData()); err != nil {
			return nil, fmt.Errorf("write export: %w", err)
		}
	}
}

// importSource is what an import is made of.
type importSource struct {
	format string // empty: a file of an export
	paths  []string
	dryRun bool
}

// importFiles sends files, or standard input, and shows what became of them.
func (a *app) importFiles(ctx context.Context, c *client, from importSource) error {
	m, err := a.sendImport(ctx, c, from)
	if err != nil {
		return err
	}
	a.warnings(m.GetWarnings())
	what := fmt.Sprintf("%d keys of cluster %s at revision %d", m.GetKeys(), m.GetFromGuid(), m.GetFromRevision())
	if n := m.GetConverted(); n != nil {
		what = fmt.Sprintf("%d objects of cluster %s, %d endpoints among them, and %d blocks with %d addresses, %d of them external,",
			n.GetObjects(), m.GetFromGuid(), n.GetEndpoints(), n.GetBlocks(), n.GetAddresses(), n.GetExternal())
	}
	if from.dryRun {
		a.line("%s would be imported (dry run)", what)
		return nil
	}
	a.line("%s imported into cluster %s", what, m.GetClusterGuid())
	if from.format == "" {
		a.line("the datastore is locked: move the hosts to it, adopt it ('vrouterctl cluster adopt'), then unlock it")
	} else {
		a.line("the datastore is locked: unlock it ('vrouterctl datastore unlock') before hosts come to it")
	}
	return nil
}

// sendImport streams files. --timeout holds between two parts; for how long the
// server then writes depends on what there is to write.
func (a *app) sendImport(ctx context.Context, c *client, from importSource) (*vrouterv1.ImportResponse, error) {
	sending, waiting := c.patient(ctx)
	defer waiting.end()
	stream, err := c.datastore.Import(sending)
	if err != nil {
		return nil, waiting.why(err)
	}
	next := &vrouterv1.ImportRequest{DryRun: from.dryRun, Format: from.format}
	for _, path := range from.paths {
		// The server ends the call early when it has found something: then the
		// answer says what.
		if err = a.sendFile(stream, waiting, path, next); err != nil {
			break
		}
		next = &vrouterv1.ImportRequest{}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	waiting.rest()
	m, err := stream.CloseAndRecv()
	if err != nil {
		return nil, waiting.why(err)
	}
	return m, nil
}

// sendFile streams a file, or standard input, beginning with the message that it
// is given. io.EOF: the server has ended the call.
func (a *app) sendFile(stream grpc.ClientStreamingClient[vrouterv1.ImportRequest, vrouterv1.ImportResponse], waiting *waiting,
	path string, next *vrouterv1.ImportRequest) error {
	from, name := a.In, "standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return usagef("FILE: %w", err)
		}
		defer file.Close()
		from, name = file, path
	}
	for first := true; ; first = false {
		part := make([]byte, importPortion) // the one before may be under way
		n, err := io.ReadFull(from, part)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read the file: %w", err)
		}
		if n > 0 || first {
			next.Data, next.File = part[:n], name
			if err := stream.Send(next); err != nil {
				return err
			}
			waiting.heard()
			next = &vrouterv1.ImportRequest{}
		}
		if last {
			return nil
		}
	}
}
