package server

import (
	"slices"
	"strconv"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// allowed tells whether mode and version permit the change on what is stored.
func (c *change) allowed(old stored) error {
	if err := writable(old.id); err != nil {
		return err
	}
	switch {
	case c.mode == vrouterv1.PutMode_PUT_MODE_CREATE && (old.revision != 0 || resource.IsBuiltIn(old.id)):
		return &existsError{old.id}
	case c.mode == vrouterv1.PutMode_PUT_MODE_REPLACE && old.revision == 0 && !resource.IsBuiltIn(old.id):
		return &missingError{old.id}
	case c.version != "" && c.version != strconv.FormatInt(old.revision, 10):
		return &staleError{old.id, c.version, old.revision}
	}
	return nil
}

// writable refuses what is the controller's alone to write, and what is address
// management's.
func writable(id resource.ID) error {
	if slices.Contains(resource.IPAMKinds(), id.Kind) {
		return &stateError{"READ_ONLY", id.String(), "address management alone writes it: allocate or release addresses instead"}
	}
	if id.Kind == resource.KindReflectorMembership {
		return &stateError{"READ_ONLY", id.String(),
			"the controller alone writes it: change the election of the ReflectorGroup of that name"}
	}
	if id.Kind == resource.KindProfile && resource.IsBuiltIn(id) {
		return &stateError{"READ_ONLY", id.String(), "it is always there, as it is"}
	}
	return nil
}
