package powercut

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// needs skips a test where a disk cannot be mounted.
func needs(t *testing.T) {
	t.Helper()
	d := newDisk()
	unmount, err := d.Mount(t.TempDir())
	if err != nil {
		t.Skipf("fault not available: fuse: %v", err)
	}
	must(t, unmount())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDisk_LosesWhatWasNotSynced(t *testing.T) {
	needs(t)
	for _, c := range []struct {
		name string
		late bool
		want map[string]string // all that must be there: more may
		not  []string          // what must not
	}{
		{"metadata first", false, map[string]string{"kept": "kept", "renamed": "", "second": "kept"}, []string{"old", "gone"}},
		{"metadata late", true, map[string]string{"kept": "kept", "old": "", "gone": ""}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				from := t.TempDir()
				must(t, os.WriteFile(filepath.Join(from, "old"), nil, 0o644))
				must(t, os.WriteFile(filepath.Join(from, "gone"), nil, 0o644))
				d, err := Load(from)
				must(t, err)
				d.Late = c.late
				at := t.TempDir()
				unmount, err := d.Mount(at)
				must(t, err)
				in := func(name string) string { return filepath.Join(at, name) }
				kept, err := os.Create(in("kept"))
				must(t, err)
				_, err = kept.WriteString("kept")
				must(t, errors.Join(err, kept.Sync()))
				dir, err := os.Open(at)
				must(t, errors.Join(err, dir.Sync()))
				must(t, os.Link(in("kept"), in("second")))
				a, err := os.Stat(in("kept"))
				must(t, err)
				b, err := os.Stat(in("second"))
				must(t, err)
				if !os.SameFile(a, b) {
					t.Error("two names of a file are not the same file")
				}
				_, err = kept.Write(bytes.Repeat([]byte("x"), 3*page))
				must(t, err)
				must(t, os.Rename(in("old"), in("renamed")))
				must(t, os.Remove(in("gone")))
				must(t, errors.Join(kept.Close(), dir.Close()))
				d.Cut()
				d.Bury()
				if _, err := os.ReadDir(at); err == nil {
					t.Error("a disk without power can be read")
				}
				must(t, unmount())
				to := filepath.Join(t.TempDir(), "left")
				must(t, d.Left(rand.New(rand.NewPCG(seed, 0)), to))
				for name, want := range c.want {
					got, err := os.ReadFile(filepath.Join(to, name))
					if c.late && (name == "old" || name == "gone") && err != nil {
						continue // a change of the folder has reached the disk
					}
					if err != nil || !bytes.HasPrefix(got, []byte(want)) {
						t.Errorf("seed %d: %s has %.20q, %v; want %q and what follows", seed, name, got, err, want)
					}
				}
				for _, name := range c.not {
					if _, err := os.Stat(filepath.Join(to, name)); err == nil {
						t.Errorf("seed %d: %s is there", seed, name)
					}
				}
			}
		})
	}
}

// What is left after many cuts differs: of the data all, a part or none, and of the
// changes of a folder, too.
func TestDisk_LeavesPartsByADraw(t *testing.T) {
	data, names := map[int]bool{}, map[int]bool{}
	for seed := range uint64(200) {
		d := newDisk()
		d.Late = true
		for _, name := range []string{"a", "b"} {
			f := d.make(0o100644)
			d.change(edit{d.root, name, f})
			f.write(bytes.Repeat([]byte("x"), 3*page), 0)
		}
		d.Cut()
		to := filepath.Join(t.TempDir(), "left")
		must(t, d.Left(rand.New(rand.NewPCG(seed, 0)), to))
		entries, err := os.ReadDir(to)
		must(t, err)
		names[len(entries)] = true
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(to, e.Name()))
			must(t, err)
			data[bytes.Count(b, []byte("x"))/page] = true
			if len(b) > page && b[0] == 0 && b[page] == 'x' {
				data[-1] = true // a hole
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(data)), []int{-1, 0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("pages left of three: %v, want %v", got, want)
	}
	if got, want := slices.Sorted(maps.Keys(names)), []int{0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("files left of two: %v, want %v", got, want)
	}
}

// What is written while a sync goes on is not part of it.
func TestDisk_SyncIsOfWhatWasThereWhenItBegan(t *testing.T) {
	d := newDisk()
	d.Delay = 0
	f := d.make(0o100644)
	d.change(edit{d.root, "f", f})
	f.write([]byte("before"), 0)
	d.Trip = func(op, _ string, after bool) bool {
		if op == "sync" && after {
			f.write([]byte("after"), len("before"))
		}
		return false
	}
	if errno := d.sync(f); errno != 0 || string(f.disk) != "before" {
		t.Errorf("on disk is %q (%v), want %q", f.disk, errno, "before")
	}
	d.Trip = nil
	f.resize(2)
	if d.sync(f); string(f.disk) != "be" {
		t.Errorf("on disk is %q, want %q", f.disk, "be")
	}
}
