package resource

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// LockedError is a write to a datastore that is locked.
type LockedError struct {
	By, Reason, Since string // as the lock says; empty: it does not
}

// Error says who has locked the datastore, and how it is unlocked.
func (e *LockedError) Error() string {
	text := "the datastore is locked"
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Since != "" {
		text += " since " + e.Since
	}
	if e.Reason != "" {
		text += fmt.Sprintf(" (%s)", e.Reason)
	}
	return text + ": nothing is written until `vrouterctl datastore unlock` (ClusterInformation default has datastoreReady false)"
}

// Unlocked is a *LockedError while the stored ClusterInformation says that the
// datastore is locked. No value is none that says so; one that cannot be read
// is an error.
func Unlocked(value []byte) error {
	var info vrouterv1.ClusterInformation
	if err := proto.Unmarshal(value, &info); err != nil {
		return fmt.Errorf("look whether the datastore is locked: decode %s: %w", KindClusterInformation, err)
	}
	spec := info.GetSpec()
	if spec == nil || spec.DatastoreReady == nil || spec.GetDatastoreReady() {
		return nil
	}
	lock := spec.GetDatastoreLock()
	return &LockedError{By: lock.GetBy(), Reason: lock.GetReason(), Since: lock.GetSince()}
}
