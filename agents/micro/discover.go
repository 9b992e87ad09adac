package micro

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/far"
)

// An info is what an instance of a service answers to $SRV.INFO.
type info struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Version     string `json:"version"`
	Description string `json:"description"`
	Endpoints   []struct {
		Name     string            `json:"name"`
		Subject  string            `json:"subject"`
		Metadata map[string]string `json:"metadata"`
	} `json:"endpoints"`
}

// An endpoint is one that is a tool.
type endpoint struct {
	name    string // SERVICE.ENDPOINT
	subject string
	version string // of the service
	spec    agents.ToolSpec
	once    bool
	missed  int // how often in a row nobody said that it is there
}

const (
	infoSubject = "$SRV.INFO"
	// maxInstances bounds how many answers are read.
	maxInstances = 10_000
	// maxMissed is how often in a row a service may be too slow.
	maxMissed = 3
)

// look looks for services once.
func (s *services) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	// Whoever is there answers at once: after a quarter of the time in silence there is
	// nobody else.
	quiet := time.AfterFunc(s.within/4, cancel)
	defer quiet.Stop()
	found := map[string]endpoint{}
	n := 0
	err := s.messenger().Gather(ctx, infoSubject, func(data []byte) bool {
		var i info
		if json.Unmarshal(data, &i) == nil {
			for _, e := range s.read(i) {
				// Of builds that run side by side the newest counts.
				if other, ok := found[e.name]; !ok || newer(e.version, other.version) {
					found[e.name] = e
				}
			}
		}
		quiet.Reset(s.within / 4)
		n++
		return n < maxInstances
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = true
	for name, e := range s.there {
		if _, ok := found[name]; ok {
			continue
		}
		if e.missed++; e.missed < maxMissed {
			found[name] = e
		}
	}
	s.there = found
	for _, e := range found {
		s.known[e.spec.Name] = e
	}
	return nil
}

// read returns the endpoints of a service that are tools.
func (s *services) read(i info) (all []endpoint) {
	for _, e := range i.Endpoints {
		name := i.Name + "." + e.Name
		if !s.allows(i.Name, name) || e.Subject == "" {
			continue
		}
		given, described := s.described[name]
		schema := json.RawMessage(cmp.Or(string(given.Parameters), e.Metadata["request_schema"], e.Metadata["schema"]))
		if len(schema) == 0 && !described {
			continue
		}
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object"}`)
		}
		if !isObject(schema) {
			s.wrong(name, "the request_schema in its metadata is no JSON Schema of type object")
			continue
		}
		all = append(all, endpoint{
			name: name, subject: e.Subject, version: i.Version, once: strings.EqualFold(e.Metadata["idempotent"], "false"),
			spec: agents.ToolSpec{
				Name:        far.ToolName(s.prefix, cmp.Or(given.Name, e.Metadata["tool"], i.Name+"_"+e.Name)),
				Description: cmp.Or(given.Description, e.Metadata["description"], i.Description, name), Parameters: schema,
			},
		})
	}
	return all
}

// wrong logs once what keeps an endpoint from being a tool.
func (s *services) wrong(name, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said[name] != what {
		s.said[name] = what
		slog.Warn("an endpoint of a NATS service is not offered to the model", "endpoint", name, "why", what)
	}
}

// follow looks for services until ctx ends.
func (s *services) follow(ctx context.Context) {
	timer := s.ticker()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.wrong(infoSubject, err.Error())
		}
	}
}

// sorted returns the endpoints that are there, by name; of two tools of one name the first.
func (s *services) sorted() (all []endpoint) {
	taken := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.there)) {
		if e := s.there[name]; !taken[e.spec.Name] {
			taken[e.spec.Name] = true
			all = append(all, e)
		}
	}
	return all
}

// newer reports whether a version is a later one than another, part by part.
func newer(a, b string) bool {
	parts := func(v string) []string {
		return strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '-' || r == '+' })
	}
	return slices.CompareFunc(parts(a), parts(b), func(x, y string) int {
		n, errN := strconv.Atoi(x)
		m, errM := strconv.Atoi(y)
		if errN == nil && errM == nil {
			return cmp.Compare(n, m)
		}
		return cmp.Compare(x, y)
	}) > 0
}
