package policy

import "github.com/projectvrouter/vrouter/internal/resource"

// Update is what has changed, or everything. It is consistent: what an object
// refers to is in the same update or in one before, and what is gone is
// referred to by nothing any more. A nil value says that the object is gone.
type Update struct {
	Settings      *Settings // nil: as before
	Sets          map[SetID]*SetChange
	Policies      map[resource.ID]*Policy // profiles, too
	Pipelines     map[string]*Pipeline
	Endpoints     map[resource.EndpointID]*Endpoint
	HostEndpoints map[string]*HostEndpoint // by interface
}

// IsEmpty tells that nothing has changed.
func (u *Update) IsEmpty() bool {
	return u.Settings == nil && len(u.Sets) == 0 && len(u.Policies) == 0 && len(u.Pipelines) == 0 &&
		len(u.Endpoints) == 0 && len(u.HostEndpoints) == 0
}
