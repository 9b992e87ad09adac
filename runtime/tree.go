package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A tree is a run, the runs that it starts, those that they start, and so on. Where a
// kind bounds the trees that its runs begin, each run of one is told by the message that
// starts it. How deep it is, it then knows by itself; how many there are, a limit counts
// that every run of the tree asks before its code runs.

// Bounds is how far the tree of a run may grow. 0 is unbounded.
type Bounds struct {
	// Depth is how deep it is at most: with 1 the run may start others, and those none.
	Depth int
	// Runs is how many runs there are below it at most, all together, those that are
	// over included.
	Runs int
}

// treeKept is how long the count of a tree is kept after the run that began it is over:
// others may go on, and start further ones.
const treeKept = 24 * time.Hour

// boundsErrors returns what is wrong with the bounds of a kind.
func (k *Kind) boundsErrors() (errs []error) {
	if k.Bounds.Depth < 0 {
		errs = append(errs, fmt.Errorf("a tree of depth %d: give at least 1, or 0 for no bound", k.Bounds.Depth))
	}
	if k.Bounds.Runs < 0 {
		errs = append(errs, fmt.Errorf("a tree of %d runs: give at least 1, or 0 for no bound", k.Bounds.Runs))
	}
	return errs
}

// bounds returns those of a run that begins: what its sender said, and its own.
func (k *Kind) bounds(limits schemas.Kind, ref schemas.Ref, env *schemas.Envelope) []*schemas.Bound {
	all := env.GetBounds()
	if k.Bounds == (Bounds{}) {
		return all
	}
	own := &schemas.Bound{Root: ref.String(), MaxDepth: uint32(k.Bounds.Depth), MaxRuns: uint32(k.Bounds.Runs)}
	if k.Bounds.Runs > 0 {
		sum := sha256.Sum256([]byte(own.Root)) // of a length that a key may have
		own.Limit = schemas.Identity{Kind: limits, Key: string(k.Name) + ruleSuffix(schemas.Hold_TREE) + ":" + hex.EncodeToString(sum[:12])}.String()
	}
	return append(all[:len(all):len(all)], own)
}

// treeHolds returns what a run takes of the limits that count its trees. The run that
// begins a tree is not counted: it says when the count may go.
func treeHolds(bounds []*schemas.Bound, env *schemas.Envelope, now int64) (holds []*schemas.Hold) {
	for _, b := range bounds {
		if b.GetMaxRuns() > 0 {
			holds = append(holds, &schemas.Hold{
				Rule: schemas.Hold_TREE, Limit: b.GetLimit(), Max: b.GetMaxRuns(), Root: b.GetRoot(), Priority: env.GetPriority(), Declared: now,
			})
		}
	}
	return holds
}

// below returns the bounds of a run that this one starts, or why it may start none.
func (r *run) below(to schemas.Identity) ([]*schemas.Bound, *Error) {
	all := r.started.GetBounds()
	if len(all) == 0 || to.Kind.IsLedger() {
		return nil, nil
	}
	below := make([]*schemas.Bound, len(all))
	for i, b := range all {
		b = proto.CloneOf(b)
		if b.Depth++; b.GetMaxDepth() > 0 && b.GetDepth() > b.GetMaxDepth() {
			return nil, Errorf(ErrTreeLimit.Code, "start of %s by %s: the runs below %s go at most %d deep, and this would be one more; go on without it", to, r.ref.Identity, b.GetRoot(), b.GetMaxDepth())
		}
		below[i] = b
	}
	return below, nil
}

// tree lets a run of a tree begin, if there is room for one more.
func (l *limit) tree(ask *schemas.Ask, w *schemas.Waiter) {
	h := ask.GetHold()
	counted := len(l.Holders)
	if of(l.Holders, h.GetRoot()) >= 0 {
		counted--
	}
	if w.GetRun() != h.GetRoot() && counted >= int(h.GetMax()) {
		l.answer(w, nil, Errorf(ErrTreeLimit.Code, "%s has started %d runs, itself and through others, and may start %d; go on without another", h.GetRoot(), counted, h.GetMax()))
		return
	}
	l.Holders = append(l.Holders, w)
	l.Next = max(l.GetNext(), l.now.Add(treeKept).UnixNano())
	l.answer(w, &schemas.Permit{}, nil)
}

// treeOver takes in that the run is over which began a tree: the count goes later.
func (l *limit) treeOver() { l.Next = l.now.Add(treeKept).UnixNano() }

// treeIdle reports whether the run that began a tree is over for so long that the count
// may go.
func treeIdle(s *schemas.LimitState, now time.Time) bool {
	return of(s.GetHolders(), s.GetHold().GetRoot()) < 0 && s.GetNext() <= now.UnixNano()
}
