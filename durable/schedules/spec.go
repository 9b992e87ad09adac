package schedules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/durable"
)

// A Spec says when a schedule starts runs, of what, and what happens when times
// were missed or a run still goes on. Its JSON is what the CLI and plain NATS
// clients write, with durations as "90s", "12h" or "7d", and times as RFC 3339.
type Spec struct {
	// Cron are expressions of five fields, six with seconds first, or descriptors
	// such as @daily; their hours are those of TimeZone. In JSON one or a list.
	Cron []string
	// Every is an interval of whole seconds, counted from the Unix epoch plus Offset,
	// so that it does not drift. It may stand beside Cron.
	Every, Offset time.Duration
	// TimeZone is a name of the IANA database, e.g. "Europe/Amsterdam". The default
	// is UTC.
	TimeZone string
	// Without are dates without a time, in TimeZone: "2026-12-25", or "12-25" for
	// each year.
	Without []string
	// Start and End bound the times; both count. Zero: there is no bound.
	Start, End time.Time
	// Jitter is how much later than its time a run starts at most: the same for the
	// same time, and never past the time that follows.
	Jitter time.Duration
	// Limit is how many runs the times start at most; 0 is no limit.
	Limit int
	// Overlap says what happens at a time when a run still goes on. The default is
	// [Skip].
	Overlap Overlap
	// CatchUp is how late a time may be kept after an outage; what is older is counted
	// as missed. It is at least ten seconds, and a year by default.
	CatchUp time.Duration
	// PauseOnFailure pauses the schedule when a run that it started fails.
	PauseOnFailure bool
	// Paused makes a schedule that is created start nothing until it is unpaused.
	Paused bool
	// Note is for people.
	Note string
	// Target is what is started.
	Target Target
}

// A Target is what a schedule starts at each of its times: a run whose ID is
// <schedule>-<time>, e.g. nightly-20261126T020000Z, so that a time has one run.
type Target struct {
	// Kind and Method are those of the code: "report", or "stock" and "reserve".
	Kind   string `json:"kind"`
	Method string `json:"method,omitempty"`
	// Key is which one of the kind. Without one each time has a key of its own, which
	// is the run's ID. {time} and {schedule} in it stand for the time, as in an ID,
	// and the schedule's name. Runs of one key come one after another.
	Key string `json:"key,omitempty"`
	// Input is JSON. A text in it that is "{time}", or "{schedule}", stands for the
	// time in RFC 3339, and for the schedule's name.
	Input json.RawMessage `json:"input,omitempty"`
}

// An Overlap says what happens at a time when a run of the schedule still goes on.
type Overlap string

const (
	Skip        Overlap = "skip"         // nothing is started; the time counts as skipped
	BufferOne   Overlap = "buffer_one"   // one time waits for its end, further ones are skipped
	BufferAll   Overlap = "buffer_all"   // times wait for their turn, up to 1,000
	CancelOther Overlap = "cancel_other" // the run is cancelled; the newest time waits for its end
	// TerminateOther is CancelOther without letting the run clean up.
	TerminateOther Overlap = "terminate_other"
	AllowAll       Overlap = "allow_all" // it is started beside the others, up to 1,000
)

// overlaps are all of them.
var overlaps = []Overlap{Skip, BufferOne, BufferAll, CancelOther, TerminateOther, AllowAll}

// What a spec leaves out.
const (
	defaultCatchUp = 365 * 24 * time.Hour
	minCatchUp     = 10 * time.Second
	longest        = 10 * 365 * 24 * time.Hour // of a duration in a spec
)

// A duration is written as Go writes it, or in days: 7d.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

func (d *duration) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 100_000 {
			*d = duration(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("the duration %q is not one such as 90s, 12h or 7d", text)
	}
	*d = duration(v)
	return nil
}

// lines are texts that JSON may write as one.
type lines []string

func (l *lines) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = lines{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*l = many
	return nil
}

// written is a spec as JSON has it. The input of a schedule's run is one, too:
// with what an earlier generation of the run has left.
type written struct {
	Cron           lines     `json:"cron,omitempty"`
	Every          duration  `json:"every,omitempty"`
	Offset         duration  `json:"offset,omitempty"`
	TimeZone       string    `json:"time_zone,omitempty"`
	Without        []string  `json:"without,omitempty"`
	Start          time.Time `json:"start,omitzero"`
	End            time.Time `json:"end,omitzero"`
	Jitter         duration  `json:"jitter,omitempty"`
	Limit          int       `json:"limit,omitempty"`
	Overlap        Overlap   `json:"overlap,omitempty"`
	CatchUp        duration  `json:"catch_up,omitempty"`
	PauseOnFailure bool      `json:"pause_on_failure,omitempty"`
	Paused         bool      `json:"paused,omitempty"`
	Note           string    `json:"note,omitempty"`
	Target         Target    `json:"target"`
	Carried        *carried  `json:"carried,omitempty"`
}

func (s Spec) written() written {
	return written{
		s.Cron, duration(s.Every), duration(s.Offset), s.TimeZone, s.Without, s.Start, s.End, duration(s.Jitter), s.Limit,
		s.Overlap, duration(s.CatchUp), s.PauseOnFailure, s.Paused, s.Note, s.Target, nil,
	}
}

func (w written) spec() Spec {
	return Spec{
		w.Cron, time.Duration(w.Every), time.Duration(w.Offset), w.TimeZone, w.Without, w.Start, w.End, time.Duration(w.Jitter), w.Limit,
		w.Overlap, time.Duration(w.CatchUp), w.PauseOnFailure, w.Paused, w.Note, w.Target,
	}
}

// MarshalJSON writes the spec as it is read.
func (s Spec) MarshalJSON() ([]byte, error) { return json.Marshal(s.written()) }

// UnmarshalJSON reads a spec. A field that it does not have is refused: what is
// misspelled would mean something else.
func (s *Spec) UnmarshalJSON(data []byte) error {
	w, err := read(data)
	if err == nil && w.Carried != nil {
		err = errors.New(`a spec has no field "carried"`)
	}
	if err == nil {
		*s = w.spec()
	}
	return err
}

func read(data []byte) (w written, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err = d.Decode(&w); err == nil && d.More() {
		err = io.ErrUnexpectedEOF
	}
	return w, err
}

// An input is what a run of a schedule begins with.
type input struct {
	spec    Spec
	carried *carried
}

func (in input) MarshalJSON() ([]byte, error) {
	w := in.spec.written()
	w.Carried = in.carried
	return json.Marshal(w)
}

func (in *input) UnmarshalJSON(data []byte) error {
	w, err := read(data)
	if err == nil {
		in.spec, in.carried = w.spec(), w.Carried
	}
	return err
}

// Equal reports whether two specs mean the same.
func (s Spec) Equal(o Spec) bool {
	a, aerr := json.Marshal(s.normal())
	b, berr := json.Marshal(o.normal())
	return aerr == nil && berr == nil && bytes.Equal(a, b)
}

// normal returns the spec with what it leaves out.
func (s Spec) normal() Spec {
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	if s.Overlap == "" {
		s.Overlap = Skip
	}
	if s.CatchUp == 0 {
		s.CatchUp = defaultCatchUp
	}
	if !s.Start.IsZero() {
		s.Start = s.Start.UTC()
	}
	if !s.End.IsZero() {
		s.End = s.End.UTC()
	}
	if bytes.Equal(s.Target.Input, []byte("null")) {
		s.Target.Input = nil
	}
	return s
}

// Check returns everything that is wrong with a spec for a schedule of a name,
// which may be empty where it is not known.
// The error matches [durable.ErrInvalid].
func (s Spec) Check(name string) error {
	s = s.normal()
	_, errs := s.rules()
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(s.Cron) == 0 && s.Every == 0, "it has no times: name \"cron\" or \"every\"")
	wrong(s.Every < 0 || s.Every%time.Second != 0 || s.Every > longest, "every %s: an interval is of whole seconds, and at most %s", s.Every, longest)
	wrong(s.Offset < 0 || s.Offset%time.Second != 0 || s.Offset > 0 && s.Offset >= s.Every, "offset %s: it is of whole seconds, and shorter than the interval %s", s.Offset, s.Every)
	wrong(s.Jitter < 0 || s.Jitter > longest, "jitter %s: it is not negative, and at most %s", s.Jitter, longest)
	wrong(s.CatchUp < minCatchUp || s.CatchUp > longest, "catch_up %s: it is from %s, since a start may be late by a moment, to %s", s.CatchUp, minCatchUp, longest)
	wrong(s.Limit < 0, "limit %d: it is a number of runs, or 0 for no limit", s.Limit)
	wrong(!s.End.IsZero() && s.End.Before(s.Start), "it ends at %s, before it starts at %s", s.End.Format(time.RFC3339), s.Start.Format(time.RFC3339))
	wrong(len(s.Note) > 1000, "its note has %d bytes; at most 1000 are kept", len(s.Note))
	if err := s.Overlap.check(); err != nil {
		errs = append(errs, err)
	}
	if err := s.Target.check(name); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	what := "schedule"
	if name != "" {
		what = fmt.Sprintf("schedule %q", name)
	}
	return durable.Fail(durable.ErrInvalid.Code, "%s: %v", what, errors.Join(errs...))
}

func (o Overlap) check() error {
	if slices.Contains(overlaps, o) {
		return nil
	}
	return fmt.Errorf("there is no overlap policy %q; there are %q", string(o), overlaps)
}

// rules returns the rules of the spec, and everything that is wrong with them.
func (s Spec) rules() (rules []rule, errs []error) {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil || s.TimeZone == "Local" {
		errs = append(errs, fmt.Errorf("there is no time zone %q; name one such as Europe/Amsterdam", s.TimeZone))
	}
	without := map[string]bool{}
	for _, d := range s.Without {
		_, err := time.Parse(time.DateOnly, d)
		if _, yearly := time.Parse(time.DateOnly, "2000-"+d); err != nil && yearly != nil {
			errs = append(errs, fmt.Errorf("without %q: a date is written as 2026-12-25, or as 12-25 for each year", d))
		}
		without[d] = true
	}
	for _, expr := range s.Cron {
		c, err := parseCron(expr)
		if err != nil {
			errs = append(errs, err)
		}
		rules = append(rules, rule{zone: zone, without: without, cron: c})
	}
	if s.Every > 0 {
		rules = append(rules, rule{zone: zone, without: without, every: s.Every, offset: s.Offset})
	}
	return rules, errs
}
