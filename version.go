package perdure

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// programVersion tells one build of this program from another, for people.
var programVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return executableHash()
	}
	revision, modified := "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	switch v := info.Main.Version; {
	case revision != "" && modified: // two builds of one revision may differ
		return revision[:min(len(revision), 12)] + "+" + executableHash()
	case revision != "":
		return revision
	case v != "" && v != "(devel)":
		return v
	}
	return executableHash()
})

// hashed is how many letters of a hash tell builds apart.
const hashed = 12

// executableHash is of what this process executes, which is the same on every machine.
func executableHash() string {
	path, err := os.Executable()
	if err != nil {
		return "(devel)"
	}
	f, err := os.Open(path)
	if err != nil {
		return "(devel)"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "(devel)"
	}
	return "devel-" + hex.EncodeToString(h.Sum(nil))[:hashed]
}
