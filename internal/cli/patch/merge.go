package patch

import "maps"

// Merge applies an RFC 7396 merge patch to target: members of the patch
// replace those of the target, null removes, objects are merged in depth, and
// anything but an object, lists included, replaces the whole.
func Merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	// RFC 7396 §2: a target that is no object is taken for an empty one.
	old, _ := target.(map[string]any)
	merged := maps.Clone(old)
	if merged == nil {
		merged = make(map[string]any, len(members))
	}
	for name, value := range members {
		if value == nil {
			delete(merged, name)
			continue
		}
		merged[name] = Merge(merged[name], value)
	}
	return merged
}
