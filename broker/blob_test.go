package broker_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

func TestBlobs_RoundTrip(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.PayloadCap = 3 << 20 })
	b := r.b.Blobs()
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	for name, data := range map[string][]byte{"wf/k%2E1/1/result": big, "wf/k/2/état": []byte("x"), "wf/k/3/empty": {}} {
		ref, err := b.Put(r.ctx, name, data)
		must(t, err)
		if ref.Name != name || ref.Size != uint64(len(data)) || len(ref.Sha256) != 32 {
			t.Errorf("the reference is %v", ref)
		}
		got, err := b.Get(r.ctx, ref)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, of %d", name, len(got), len(data))
		}
	}
	names, err := b.List(r.ctx, "wf/k/")
	must(t, err)
	if diff := cmp.Diff([]string{"wf/k/2/état", "wf/k/3/empty"}, names); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	must(t, b.Delete(r.ctx, "wf/k/2/état"))
	must(t, b.Delete(r.ctx, "wf/k/2/état"))
	must(t, b.Delete(r.ctx, "never"))
	if names, err := b.List(r.ctx, "wf/k/2"); len(names) != 0 || err != nil {
		t.Errorf("after the deletion: %v, %v", names, err)
	}
	if _, err := b.Put(r.ctx, "wf/k/4/x", append(big, 0)); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("a payload over the cap: %v, want ErrTooLarge", err)
	} else {
		mentions(t, err, "3145729", "3145728")
	}
}

func TestBlobs_WhatIsMissingOrDamagedIsSaid(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	b := r.b.Blobs()
	ref, err := b.Put(r.ctx, "a", []byte("one"))
	must(t, err)
	size := &schemas.Blob{Name: "a", Size: 4, Sha256: ref.Sha256}
	other, err := b.Put(r.ctx, "b", []byte("two"))
	must(t, err)
	sum := &schemas.Blob{Name: "a", Size: 3, Sha256: other.Sha256}
	for says, ref := range map[string]*schemas.Blob{"none of this name": {Name: "c"}, "3 bytes": size, "SHA-256": sum} {
		if _, err := b.Get(r.ctx, ref); !errors.Is(err, broker.ErrBlob) {
			t.Errorf("get %v: %v, want ErrBlob", ref, err)
		} else {
			mentions(t, err, says)
		}
	}
}
