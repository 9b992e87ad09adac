package runtime

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// Deployed says which builds of kinds the nodes have that may take over from each
// other. It is asked before every execution of a run, and before one continues as new.
type Deployed interface {
	// Newest returns the build that begins runs of a kind, "" where none is named.
	Newest(kind schemas.Kind) string
	// Elsewhere reports whether another node has a build of a kind.
	Elsewhere(kind schemas.Kind, build string) bool
}

// begins returns the build of which a new run is: the newest of all that are
// deployed, or the one that a fork names. The ending says that another node has it.
func (x *Executor) begins(fork *schemas.Fork) (build string, end *Ending) {
	if named := fork.GetBuild(); named != "" {
		return named, x.elsewhere(named)
	}
	build = x.newest()
	if _, err := x.kind.build(build); err == nil {
		return build, nil
	}
	if end := x.elsewhere(build); end != nil {
		return "", end
	}
	return x.kind.Build, nil // whoever had a newer one has just gone
}

// newest returns the build that begins runs of the executor's kind.
func (x *Executor) newest() string {
	if x.cfg.Deployed == nil {
		return x.kind.Build
	}
	return cmp.Or(x.cfg.Deployed.Newest(x.kind.Name), x.kind.Build)
}

// elsewhere returns the ending of a run of a build that another node has, and this one
// has not.
func (x *Executor) elsewhere(build string) *Ending {
	if x.cfg.Deployed == nil {
		return nil
	}
	_, err := x.kind.build(build)
	if err == nil && (build != "" || x.kind.unnamed()) || !x.cfg.Deployed.Elsewhere(x.kind.Name, build) {
		return nil
	}
	return &Ending{Kind: Elsewhere, Build: build, Err: err}
}

// build returns the code that continues a run which a build has begun. One that was
// begun by no build of a name is continued by the newest if none of the others has
// no name, here or on another node.
func (k *Kind) build(name string) (*Kind, error) {
	if name == k.Build {
		return k, nil
	}
	has := []string{BuildName(k.Build)}
	for _, o := range k.Older {
		if o.Build == name {
			return o, nil
		}
		has = append(has, BuildName(o.Build))
	}
	if name == "" {
		return k, nil
	}
	return nil, Errorf(ErrStalled.Code, "the run was begun by the build %q of %s %q, and this node has %s; deploy that build beside them, and the run goes on", name, k.Type, string(k.Name), strings.Join(has, ", "))
}

// BuildName is the name of a build for people, in quotes; one may have none.
func BuildName(name string) string {
	if name == "" {
		return "the unnamed one"
	}
	return strconv.Quote(name)
}

// unnamed reports whether one of the builds has no name: the one that runs have gone
// on with since before the kind named any.
func (k *Kind) unnamed() bool {
	return k.Build == "" || slices.ContainsFunc(k.Older, func(o *Kind) bool { return o.Build == "" })
}

// buildErrors returns what is wrong with the older builds of a kind.
func (k *Kind) buildErrors() (errs []error) {
	names := map[string]bool{k.Build: true}
	for _, o := range k.Older {
		errs = append(errs, o.Errs...)
		if o.Name != k.Name || o.Type != k.Type || o.Stateful != k.Stateful {
			errs = append(errs, fmt.Errorf("of its older builds %s is the %s %q; builds are of one kind", BuildName(o.Build), o.Type, string(o.Name)))
		}
		if names[o.Build] {
			errs = append(errs, fmt.Errorf("there is more than one build of one name: %s; give each a name of its own", BuildName(o.Build)))
		}
		names[o.Build] = true
	}
	return errs
}
