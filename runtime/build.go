package runtime

import (
	"fmt"
	"strings"
)

// build returns the code that continues a run which a build has begun. One that was
// begun by no build of a name is continued by the newest if none of the others has
// no name.
func (k *Kind) build(name string) (*Kind, error) {
	if name == k.Build {
		return k, nil
	}
	has := []string{fmt.Sprintf("%q", k.Build)}
	for _, o := range k.Older {
		if o.Build == name {
			return o, nil
		}
		has = append(has, fmt.Sprintf("%q", o.Build))
	}
	if name == "" {
		return k, nil
	}
	return nil, Errorf(ErrStalled.Code, "the run was begun by the build %q of %s %q, and this node has %s; deploy that build beside them, and the run goes on", name, k.Type, string(k.Name), strings.Join(has, ", "))
}

// buildErrors returns what is wrong with the older builds of a kind.
func (k *Kind) buildErrors() (errs []error) {
	names := map[string]bool{k.Build: true}
	for _, o := range k.Older {
		errs = append(errs, o.Errs...)
		if o.Name != k.Name || o.Type != k.Type || o.Stateful != k.Stateful {
			errs = append(errs, fmt.Errorf("its older build %q is the %s %q; builds are of one kind", o.Build, o.Type, string(o.Name)))
		}
		if names[o.Build] {
			errs = append(errs, fmt.Errorf("two builds are named %q; give each a name of its own", o.Build))
		}
		names[o.Build] = true
	}
	return errs
}
