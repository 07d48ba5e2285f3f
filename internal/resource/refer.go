package resource

// Referrers returns the kinds of objects that name objects of a kind.
func Referrers(kind Kind) []Kind {
	switch kind {
	case KindBGPFilter, KindSecret:
		return []Kind{KindBGPConfiguration, KindBGPPeerGroup, KindBGPPeer, KindReflectorGroup}
	case KindBGPPeerGroup:
		return []Kind{KindBGPPeer}
	}
	return nil
}

// References returns the filters, groups of peers and Secrets that an object
// names. They need not exist, and one may come twice.
func References(object Object) []ID {
	switch o := object.(type) {
	case *BGPPeer:
		ids := o.Settings.references()
		if o.Group != "" {
			ids = append(ids, ID{Kind: KindBGPPeerGroup, Name: o.Group})
		}
		return ids
	case *BGPPeerGroup:
		return o.Settings.references()
	case *BGPConfiguration:
		return append(o.Sessions.references(), o.MeshPassword.references()...)
	case *ReflectorGroup:
		return o.Settings.references()
	}
	return nil
}

func (s SessionSettings) references() []ID {
	ids := s.Password.references()
	if s.Filters != nil {
		for _, name := range *s.Filters {
			ids = append(ids, ID{Kind: KindBGPFilter, Name: name})
		}
	}
	return ids
}

func (r *SecretRef) references() []ID {
	if r == nil || r.Name == "" {
		return nil
	}
	return []ID{{Kind: KindSecret, Name: r.Name}}
}
