package actors

import (
	"slices"
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Which builds the nodes of the pool have, and what changes with them.

var _ runtime.Deployed = others{}

// others says which builds other members have.
type others struct{ h *Host }

// Newest returns the newest build of a kind that a member begins runs with.
func (o others) Newest(kind schemas.Kind) string { return o.h.member.Builds().Newest(kind) }

// Elsewhere reports whether another member has a build.
func (o others) Elsewhere(kind schemas.Kind, build string) bool {
	return slices.ContainsFunc(o.h.member.Builds().Nodes(kind, build), func(n string) bool { return n != o.h.cfg.Node })
}

// HasBuild returns an error that matches [durable.ErrNotFound] if this node hosts a
// kind and neither it nor another member has the build.
func (h *Host) HasBuild(kind schemas.Kind, build string) error {
	all := h.member.Builds()
	if h.kinds[kind] == nil || len(all.Nodes(kind, build)) > 0 {
		return nil
	}
	names := all.Names(kind)
	if len(names) == 0 { // no node names one
		names = []string{""}
	}
	for i, name := range names {
		names[i] = runtime.BuildName(name)
	}
	return durable.Fail(durable.ErrNotFound.Code, "no node has the build %q of %q; there are %s", build, string(kind), strings.Join(names, ", "))
}

// rebuilt looks again at what waits for a build, and at what is lent.
func (h *Host) rebuilt() {
	h.loans.Lock()
	for _, l := range h.loans.lent {
		l.look()
	}
	h.loans.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.pumps {
		u.rebuilt()
	}
}
