package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/version"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// datastore is DatastoreService.
type datastore struct {
	vrouterv1.UnimplementedDatastoreServiceServer
	writer *writer
	store  store.Store
	node   string
}

func clusterID() resource.ID {
	return resource.ID{Kind: resource.KindClusterInformation, Name: resource.DefaultName}
}

// Lock locks the datastore, unless it is.
func (s *datastore) Lock(ctx context.Context, req *vrouterv1.LockRequest) (*vrouterv1.LockResponse, error) {
	lock := &vrouterv1.DatastoreLock{By: text(req.GetBy()), Reason: text(req.GetReason()),
		Since: proto.String(time.Now().UTC().Format(time.RFC3339))}
	was, err := s.set(ctx, lock)
	if err != nil {
		return nil, fmt.Errorf("lock the datastore: %w", err)
	}
	out := &vrouterv1.LockResponse{Already: was != nil, By: lock.GetBy(), Reason: lock.GetReason(), Since: lock.GetSince()}
	if was != nil {
		out.By, out.Reason, out.Since = was.GetBy(), was.GetReason(), was.GetSince()
	}
	return out, nil
}

// text is what a caller gave; nil: nothing.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Unlock takes the lock away, if there is one.
func (s *datastore) Unlock(ctx context.Context, _ *vrouterv1.UnlockRequest) (*vrouterv1.UnlockResponse, error) {
	was, err := s.set(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("unlock the datastore: %w", err)
	}
	return &vrouterv1.UnlockResponse{Already: was == nil}, nil
}

// set makes the lock, nil for none, and returns the one that there was. One that
// is there is not replaced by another.
func (s *datastore) set(ctx context.Context, lock *vrouterv1.DatastoreLock) (was *vrouterv1.DatastoreLock, err error) {
	err = retried(ctx, func() error {
		was = nil
		old, err := s.writer.stored(ctx, clusterID())
		if err != nil {
			return err
		}
		info, ok := old.msg.(*vrouterv1.ClusterInformation)
		if old.revision != 0 && !ok {
			return fmt.Errorf("the stored %s cannot be read", clusterID())
		}
		if info == nil {
			info = &vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)}}
		}
		next := proto.CloneOf(info)
		if next.Spec == nil {
			next.Spec = &vrouterv1.ClusterInformationSpec{}
		}
		if ready := next.Spec.DatastoreReady; ready != nil && !*ready {
			if was = next.Spec.DatastoreLock; was == nil {
				was = &vrouterv1.DatastoreLock{}
			}
		}
		if (was != nil) == (lock != nil) {
			return nil
		}
		next.Spec.DatastoreReady, next.Spec.DatastoreLock = proto.Bool(lock == nil), lock
		checked, err := accept(next)
		if err != nil {
			return err
		}
		c := change{msg: next, checked: checked, mode: vrouterv1.PutMode_PUT_MODE_CREATE}
		if old.revision != 0 {
			c.mode, c.version = vrouterv1.PutMode_PUT_MODE_REPLACE, strconv.FormatInt(old.revision, 10)
		}
		_, err = s.writer.tryPut(ctx, c)
		if stale, exists := (&staleError{}), (&existsError{}); errors.As(err, &stale) || errors.As(err, &exists) {
			return fmt.Errorf("%w: %w", store.ErrConflict, err)
		}
		return err
	})
	return was, err
}

// whole refuses to change the lock of a store with an import that is not whole,
// and makes the transaction depend on that.
func (w *writer) whole(ctx context.Context, t *txn) error {
	kv, _, err := w.store.Get(ctx, store.MetaKey)
	if errors.Is(err, store.ErrNotFound) {
		t.compare(store.MetaKey, 0)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the identity of the cluster: %w", err)
	}
	t.compare(store.MetaKey, kv.ModRevision)
	cluster, err := store.DecodeCluster(kv.Value)
	if err != nil {
		return err
	}
	if cluster.Importing != "" {
		return &stateError{"IMPORTING", clusterID().String(),
			"an import into the datastore is not whole: wait for it, or repeat `vrouterctl datastore import`"}
	}
	return nil
}

// exportPortion is how many octets of a file go into a message: far below the
// limit of 4 MiB.
const exportPortion = 256 << 10

// Export streams what is stored. Secrets leave the host by its socket only.
func (s *datastore) Export(req *vrouterv1.ExportRequest, stream grpc.ServerStreamingServer[vrouterv1.ExportResponse]) error {
	if !req.GetWithoutSecrets() && !local(stream.Context()) {
		return &stateError{"SECRETS", clusterID().String(),
			"secrets are exported over the Unix socket of a vrouterd only: call it there, or export without secrets"}
	}
	f, err := backup.Read(stream.Context(), s.store, !req.GetWithoutSecrets(), version.String(), time.Now())
	if err != nil {
		return err
	}
	w := &portions{send: func(data []byte) error {
		return stream.Send(&vrouterv1.ExportResponse{Part: &vrouterv1.ExportResponse_Data{Data: data}})
	}}
	if err := f.Write(w); err != nil {
		return err
	}
	return stream.Send(&vrouterv1.ExportResponse{Part: &vrouterv1.ExportResponse_Summary{Summary: &vrouterv1.ExportSummary{
		Keys: int64(len(f.KVs)), Revision: f.Revision, ClusterGuid: f.ClusterGUID, Locked: f.Locked, Warnings: f.Warnings(),
	}}})
}

// local tells whether a call came over the Unix socket.
func local(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	return ok && p.Addr.Network() == "unix"
}

// portions sends what is written to it in parts of at most exportPortion.
type portions struct{ send func([]byte) error }

func (p *portions) Write(b []byte) (int, error) {
	for n := 0; n < len(b); n += exportPortion {
		part := b[n:min(n+exportPortion, len(b))]
		// The writer uses its buffer again, and the message may be under way.
		if err := p.send(append([]byte(nil), part...)); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// Import takes what is sent whole before it writes anything.
func (s *datastore) Import(stream grpc.ClientStreamingServer[vrouterv1.ImportRequest, vrouterv1.ImportResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return invalid("data", "is needed")
		}
		return err
	}
	out := &vrouterv1.ImportResponse{}
	from := &uploaded{stream: stream, next: first}
	var f *backup.File
	switch first.GetFormat() {
	case "":
		f, err = from.export()
	case formatCalico:
		f, err = from.calico(out)
	default:
		err = invalid("format", "%q is not %s, nor empty for a file of Export", first.GetFormat(), formatCalico)
	}
	if err != nil {
		return err
	}
	i := &backup.Importer{Store: s.store, Self: s.node, Guards: []string{settingsGuard}, Now: time.Now}
	done, err := i.Run(stream.Context(), f, first.GetDryRun())
	if there := (*backup.NotEmptyError)(nil); errors.As(err, &there) {
		return &stateError{"NOT_EMPTY", clusterID().String(), err.Error()}
	}
	if err != nil {
		return err
	}
	out.Keys, out.ClusterGuid = int64(done.Keys), done.GUID
	out.FromGuid, out.FromRevision = f.ClusterGUID, f.Revision
	out.Warnings = append(out.Warnings, done.Warnings...)
	return stream.SendAndClose(out)
}
