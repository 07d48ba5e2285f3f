package server

import (
	"strconv"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// allowed tells whether mode and version permit the change on what is stored.
func (c *change) allowed(old stored) error {
	switch {
	case c.mode == vrouterv1.PutMode_PUT_MODE_CREATE && old.revision != 0:
		return &existsError{old.id}
	case c.mode == vrouterv1.PutMode_PUT_MODE_REPLACE && old.revision == 0:
		return &missingError{old.id}
	case c.version != "" && c.version != strconv.FormatInt(old.revision, 10):
		return &staleError{old.id, c.version, old.revision}
	}
	return nil
}
