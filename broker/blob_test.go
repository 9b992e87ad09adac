package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestBlobs_RoundTrip(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.PayloadCap = 3 << 20 })
	b := r.b.Blobs()
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	k := identity("wf", "k")
	var names []string
	for run, data := range map[schemas.Ref][]byte{identity("wf", "k.1 é").Run("1"): big, k.Run("2/é"): []byte("x"), k.Run("3"): {}} {
		ref, err := b.Put(r.ctx, run, "part", data)
		must(t, err)
		again, err := b.Put(r.ctx, run, "part", data)
		must(t, err)
		if diff := cmp.Diff(ref, again, protocmp.Transform()); diff != "" {
			t.Errorf("stored again, the reference is another (-first +again):\n%s", diff)
		}
		if ref.Size != uint64(len(data)) || len(ref.Sha256) != 32 {
			t.Errorf("the reference is %v", ref)
		}
		if of, err := broker.BlobRun(ref.Name); of != run || err != nil {
			t.Errorf("the object is of %v (%v), want %v", of, err, run)
		}
		got, err := b.Get(r.ctx, ref)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, of %d", ref.Name, len(got), len(data))
		}
		if at, ok, err := b.Stored(r.ctx, ref.Name); !ok || err != nil || time.Since(at) > testWait {
			t.Errorf("%s was stored at %v, %v, %v", ref.Name, at, ok, err)
		}
		if run.Identity == k {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	of, err := b.Of(r.ctx, k)
	must(t, err)
	if diff := cmp.Diff(names, of); diff != "" {
		t.Errorf("objects of the identity (-want +got):\n%s", diff)
	}
	in, err := b.In(r.ctx, r.n.Partition(k))
	must(t, err)
	for _, name := range names {
		if !slices.Contains(in, name) {
			t.Errorf("the partition's objects %v lack %s", in, name)
		}
		must(t, b.Delete(r.ctx, name))
		must(t, b.Delete(r.ctx, name))
	}
	if of, err := b.Of(r.ctx, k); len(of) != 0 || err != nil {
		t.Errorf("after the deletion: %v, %v", of, err)
	}
	if _, ok, err := b.Stored(r.ctx, names[0]); ok || err != nil {
		t.Errorf("a deleted object was stored: %v, %v", ok, err)
	}
	if _, err := b.Put(r.ctx, k.Run("4"), "x", append(big, 0)); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("a payload over the cap: %v, want ErrTooLarge", err)
	} else {
		mentions(t, err, "3145729", "3145728")
	}
}

// P18: what it costs to list the objects of an identity does not depend on how
// many others have: the server selects by subject.
func TestP18_ObjectsAreListedByIdentity(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	var want string
	for i := range 50 {
		ref, err := r.b.Blobs().Put(r.ctx, identity("wf", fmt.Sprint(i)).Run("1"), "x", []byte("x"))
		must(t, err)
		if i == 7 {
			want = ref.Name
		}
	}
	id := identity("wf", "7")
	filter := fmt.Sprintf("%s.blob.%v.wf.7.>", r.n.Namespace(), r.n.Partition(id))
	if got := r.subjects(r.n.BlobsStream(), filter); len(got) != 1 {
		t.Errorf("the server lists %v of the identity, want one chunk", got)
	}
	got, err := r.b.Blobs().Of(r.ctx, id)
	must(t, err)
	if diff := cmp.Diff([]string{want}, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestBlobs_WhatIsMissingOrDamagedIsSaid(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	b, run := r.b.Blobs(), identity("wf", "k").Run("1")
	ref, err := b.Put(r.ctx, run, "a", []byte("one"))
	must(t, err)
	other, err := b.Put(r.ctx, run, "b", []byte("two"))
	must(t, err)
	gone := &schemas.Blob{Name: "wf/k/1/c", Size: 3, Sha256: ref.Sha256}
	size := &schemas.Blob{Name: ref.Name, Size: 4, Sha256: ref.Sha256}
	sum := &schemas.Blob{Name: ref.Name, Size: 3, Sha256: other.Sha256}
	tests := map[string]*schemas.Blob{"none of this name": gone, "3 bytes": size, "SHA-256": sum}
	for _, name := range []string{"", "a", "wf/k/1", "wf/k/1/", "wf/k/1/*", "wf/k/1/>", "wf/k/1/a.b", "wf/*/1/a", "w f/k/1/a", "wf/k/1/a/b"} {
		tests[fmt.Sprintf("%s ", name)] = &schemas.Blob{Name: name}
	}
	for says, ref := range tests {
		if _, err := b.Get(r.ctx, ref); !errors.Is(err, broker.ErrBlob) {
			t.Errorf("get %v: %v, want ErrBlob", ref, err)
		} else {
			mentions(t, err, strings.TrimSpace(says))
		}
		if says[len(says)-1] == ' ' && b.Delete(r.ctx, ref.Name) == nil {
			t.Errorf("%q was deleted, and is no object's name", ref.Name)
		}
	}
}
