package schedules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// zones change their clocks by an hour, by half an hour, twice a year in other
// ways, by a whole day, and never.
var zones = []string{"Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC"}

func mustZone(t interface{ Fatal(...any) }, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func times(t *testing.T, s Spec, from string, n int) []string {
	t.Helper()
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		t.Fatal(err)
	}
	s.Target.Kind = "report"
	next, err := s.Next(at, n)
	if err != nil {
		t.Fatal(err)
	}
	zone := mustZone(t, s.normal().TimeZone)
	var out []string
	for _, n := range next {
		out = append(out, n.In(zone).Format("01-02 15:04:05 -07:00"))
	}
	return out
}

// What the documentation says of clocks that are changed, in real zones.
func TestTimesWhereClocksAreChanged(t *testing.T) {
	for name, c := range map[string]struct {
		spec Spec
		from string
		want []string
	}{
		"a time of day that does not exist is when the clocks were changed": {
			Spec{Cron: []string{"30 2 * * *"}, TimeZone: "Europe/Amsterdam"},
			"2026-03-28T00:00:00Z",
			[]string{"03-28 02:30:00 +01:00", "03-29 03:00:00 +02:00", "03-30 02:30:00 +02:00"},
		},
		"several that do not exist are one": {
			Spec{Cron: []string{"*/15 2 * * *"}, TimeZone: "America/New_York"},
			"2026-03-08T04:00:00Z",
			[]string{"03-08 03:00:00 -04:00", "03-09 02:00:00 -04:00", "03-09 02:15:00 -04:00"},
		},
		"a time of day that comes twice is the first": {
			Spec{Cron: []string{"30 2 * * *"}, TimeZone: "Europe/Amsterdam"},
			"2026-10-24T12:00:00Z",
			[]string{"10-25 02:30:00 +02:00", "10-26 02:30:00 +01:00"},
		},
		"asked between the two, it was": {
			Spec{Cron: []string{"30 1 * * *"}, TimeZone: "America/New_York"}, "2026-11-01T06:10:00Z", // 01:10 for the second time
			[]string{"11-02 01:30:00 -05:00"},
		},
		"a rhythm goes on through an hour that comes twice": {
			Spec{Cron: []string{"*/30 * * * *"}, TimeZone: "Europe/Amsterdam"},
			"2026-10-25T00:00:00Z",
			[]string{"10-25 02:30:00 +02:00", "10-25 02:00:00 +01:00", "10-25 02:30:00 +01:00", "10-25 03:00:00 +01:00"},
		},
		"a rhythm goes on over an hour that does not exist": {
			Spec{Cron: []string{"*/30 * * * *"}, TimeZone: "America/New_York"},
			"2026-03-08T06:00:00Z",
			[]string{"03-08 01:30:00 -05:00", "03-08 03:00:00 -04:00", "03-08 03:30:00 -04:00"},
		},
		"half an hour that does not exist": {
			Spec{Cron: []string{"0,15,45 2 * * *"}, TimeZone: "Australia/Lord_Howe"}, "2026-10-03T12:00:00Z", // 02:00 becomes 02:30
			[]string{"10-04 02:30:00 +11:00", "10-04 02:45:00 +11:00", "10-05 02:00:00 +11:00"},
		},
		"half an hour that comes twice": {
			Spec{Cron: []string{"45 1 * * *"}, TimeZone: "Australia/Lord_Howe"}, "2026-04-04T12:00:00Z", // 02:00 becomes 01:30
			[]string{"04-05 01:45:00 +11:00", "04-06 01:45:00 +10:30"},
		},
		"a rhythm through half an hour that comes twice": {
			Spec{Cron: []string{"*/15 * * * *"}, TimeZone: "Australia/Lord_Howe"},
			"2026-04-04T14:29:00Z",
			[]string{"04-05 01:30:00 +11:00", "04-05 01:45:00 +11:00", "04-05 01:30:00 +10:30", "04-05 01:45:00 +10:30", "04-05 02:00:00 +10:30"},
		},
		"a day that does not exist": {
			Spec{Cron: []string{"0 9 * * *"}, TimeZone: "Pacific/Apia"}, "2011-12-29T12:00:00Z", // no 30 December 2011
			[]string{"12-29 09:00:00 -10:00", "12-31 00:00:00 +14:00", "12-31 09:00:00 +14:00"},
		},
		"an interval does not care": {
			Spec{Every: 12 * time.Hour, Offset: time.Hour, TimeZone: "Europe/Amsterdam"},
			"2026-10-24T12:00:00Z",
			[]string{"10-24 15:00:00 +02:00", "10-25 02:00:00 +01:00", "10-25 14:00:00 +01:00"},
		},
		"dates without a time": {
			Spec{Cron: []string{"@daily"}, TimeZone: "Europe/Amsterdam", Without: []string{"12-25", "2026-12-27"}},
			"2026-12-24T12:00:00Z",
			[]string{"12-26 00:00:00 +01:00", "12-28 00:00:00 +01:00"},
		},
		"an interval without dates keeps its anchor": {
			Spec{Every: 7 * time.Hour, Without: []string{"1970-01-02"}},
			"1970-01-01T20:00:00Z",
			[]string{"01-01 21:00:00 +00:00", "01-03 01:00:00 +00:00", "01-03 08:00:00 +00:00"},
		},
		"the last day of a month": {
			Spec{Cron: []string{"0 6 L * *"}},
			"2028-01-30T00:00:00Z",
			[]string{"01-31 06:00:00 +00:00", "02-29 06:00:00 +00:00", "03-31 06:00:00 +00:00"},
		},
		"a day of the month or of the week": {
			Spec{Cron: []string{"0 0 13 * fri"}},
			"2026-11-05T00:00:00Z",
			[]string{"11-06 00:00:00 +00:00", "11-13 00:00:00 +00:00", "11-20 00:00:00 +00:00"},
		},
		"the end of a leap year far from now": {
			Spec{Cron: []string{"@yearly", "30 */6 31 12 *"}, TimeZone: "Europe/Amsterdam"},
			"2040-12-30T23:00:00Z",
			[]string{"12-31 00:30:00 +01:00", "12-31 06:30:00 +01:00", "12-31 12:30:00 +01:00", "12-31 18:30:00 +01:00", "01-01 00:00:00 +01:00"},
		},
		"bounds count, and so do several expressions": {
			Spec{
				Cron: []string{"0 12 * * *", "*/20 * * * * *"}, Every: time.Hour,
				Start: time.Date(2026, 5, 1, 11, 59, 40, 0, time.UTC), End: time.Date(2026, 5, 1, 12, 0, 20, 0, time.UTC),
			},
			"2026-01-01T00:00:00Z",
			[]string{"05-01 11:59:40 +00:00", "05-01 12:00:00 +00:00", "05-01 12:00:20 +00:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := len(c.want)
			if !c.spec.End.IsZero() {
				n++
			}
			if got := times(t, c.spec, c.from, n); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// naive matches one field in the plainest way.
func naive(list string, v, lo, hi int) bool {
	for part := range strings.SplitSeq(list, ",") {
		span, step, _ := strings.Cut(part, "/")
		by, _ := strconv.Atoi(step)
		from, to := lo, hi
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			from, _ = strconv.Atoi(a)
			if to = from; ranged {
				to, _ = strconv.Atoi(b)
			} else if by > 0 {
				to = hi
			}
		}
		for x := from; x <= to; x += max(by, 1) {
			if x == v {
				return true
			}
		}
	}
	return false
}

// naiveSets reads an expression of five fields into what each of them matches.
func naiveSets(expr string) (f []string, sets [5][]bool) {
	f = strings.Fields(expr)
	for i, r := range [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}} {
		for v := range r[1] + 1 {
			sets[i] = append(sets[i], naive(f[i], v, r[0], r[1]))
		}
	}
	return f, sets
}

// A calendar is every minute of a zone, for two years and some days. It has a million
// of them, so it counts them in place of keeping times.
type calendar struct {
	name  string
	zone  *time.Location
	begin time.Time
	walls []int32 // what a clock shows at each minute, in minutes since begin
	first []int32 // the minute, from 1, at which a clock first shows a wall-clock minute, from a day before begin on
}

const aDay = 24 * 60 // minutes

var calendars = sync.OnceValue(func() (all []*calendar) {
	for _, name := range zones {
		c := &calendar{name: name, begin: time.Date(2025, 12, 20, 0, 0, 0, 0, time.UTC)}
		var err error
		if c.zone, err = time.LoadLocation(name); err != nil {
			panic(err)
		}
		minutes := c.index(time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC))
		c.walls, c.first = make([]int32, minutes), make([]int32, minutes+2*aDay)
		for i := range c.walls {
			_, offset := c.at(i).In(c.zone).Zone()
			wall := i + offset/60
			c.walls[i] = int32(wall)
			if first := &c.first[wall+aDay]; *first == 0 {
				*first = int32(i) + 1
			}
		}
		all = append(all, c)
	}
	return all
})

// index is the minute that t is in.
func (c *calendar) index(t time.Time) int { return int(t.Sub(c.begin) / time.Minute) }

// at is when a minute begins.
func (c *calendar) at(i int) time.Time { return c.begin.Add(time.Duration(i) * time.Minute) }

// wall is what a clock shows at a minute.
func (c *calendar) wall(i int) time.Time { return c.at(int(c.walls[i])) }

// firstAt is when a clock first shows that, if it ever does.
func (c *calendar) firstAt(wall time.Time) (time.Time, bool) {
	i := c.first[c.index(wall)+aDay]
	return c.at(int(i) - 1), i > 0
}

// oracle looks at every minute from a time to another one.
func (c *calendar) oracle(expr string, from, to time.Time) (all []time.Time) {
	f, sets := naiveSets(expr)
	matches := func(wall time.Time) bool {
		if !sets[0][wall.Minute()] || !sets[1][wall.Hour()] || !sets[3][wall.Month()] {
			return false
		}
		dom, dow := sets[2][wall.Day()], sets[4][wall.Weekday()]
		if f[2] != "*" && f[4] != "*" {
			return dom || dow
		}
		return dom && dow
	}
	rhythm := strings.HasPrefix(f[1], "*")
	seen := map[int64]bool{}
	add := func(t time.Time) {
		if t.After(from) && !t.After(to) && !seen[t.Unix()] {
			seen[t.Unix()] = true
			all = append(all, t)
		}
	}
	if rhythm {
		for i := c.index(from); i <= c.index(to); i++ {
			if matches(c.wall(i)) {
				add(c.at(i))
			}
		}
		return all
	}
	for wall, end := c.wall(c.index(from)-aDay), c.wall(c.index(to)).Add(24*time.Hour); wall.Before(end); wall = wall.Add(time.Minute) {
		if !matches(wall) {
			continue
		}
		at, ok := c.firstAt(wall)
		for later := wall; !ok; { // it does not exist: the first moment behind it
			later = later.Add(time.Minute)
			at, ok = c.firstAt(later)
		}
		add(at)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

func (c *calendar) compare(t interface{ Fatalf(string, ...any) }, expr string, from, to time.Time) int {
	parsed, err := parseCron(expr)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, zone := rule{zone: c.zone, cron: parsed}, c.zone
	want := c.oracle(expr, from, to)
	at := from
	for i, w := range want {
		got, ok := r.next(at)
		if !ok || !got.Equal(w) {
			t.Fatalf("%q in %s, time %d after %s: got %s, want %s", expr, c.name, i+1, at.In(zone), got.In(zone), w.In(zone))
		}
		at = got
	}
	if got, ok := r.next(at); ok && !got.After(to) {
		t.Fatalf("%q in %s: %s is too much", expr, c.name, got.In(zone))
	}
	return len(want)
}

// Two years of usual expressions, minute by minute.
func TestTimesAgreeWithAnOracleThatLooksAtEveryMinute(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range calendars() {
		n := 0
		for _, expr := range []string{"30 2 * * *", "15 */3 * * *", "0 0,2 1-7 * 1", "*/17 1-3 * * *", "59 23 31 * *", "0 12 * 2 *"} {
			n += c.compare(t, expr, from, from.AddDate(2, 0, -2))
		}
		if n < 4000 {
			t.Errorf("%s: only %d times were compared", c.name, n)
		}
	}
}

// Random expressions, around the days at which clocks are changed.
func TestTimesOfRandomExpressions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := calendars()[rapid.IntRange(0, len(zones)-1).Draw(t, "zone")]
		part := func(label string, lo, hi int) string {
			a := rapid.IntRange(lo, hi).Draw(t, label)
			switch rapid.IntRange(0, 5).Draw(t, label+" form") {
			case 0, 1:
				return "*"
			case 2:
				return fmt.Sprintf("*/%d", max(a, 1))
			case 3:
				return fmt.Sprintf("%d-%d", a, rapid.IntRange(a, hi).Draw(t, label+" end"))
			case 4:
				return fmt.Sprintf("%d,%d/%d", a, rapid.IntRange(lo, hi).Draw(t, label+" other"), rapid.IntRange(1, 5).Draw(t, label+" step"))
			}
			return strconv.Itoa(a)
		}
		day := rapid.SampledFrom([]string{"2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2026-02-15", "2026-12-31"}).Draw(t, "day")
		around, _ := time.Parse(time.DateOnly, day)
		from := around.Add(time.Duration(rapid.IntRange(-48*60, 24*60).Draw(t, "minutes")) * time.Minute)
		expr := strings.Join([]string{part("minute", 0, 59), part("hour", 0, 23), rapid.SampledFrom([]string{"*", "*", "1-15", "*/2"}).Draw(t, "dom"), "*", rapid.SampledFrom([]string{"*", "*", "0", "1-5"}).Draw(t, "dow")}, " ")
		if allHours(strings.Fields(expr)[1]) {
			return // written as a list of all hours it is a rhythm, too
		}
		c.compare(t, expr, from, from.Add(72*time.Hour))
	})
}

func allHours(list string) bool {
	if strings.HasPrefix(list, "*") {
		return false
	}
	for h := range 24 {
		if !naive(list, h, 0, 23) {
			return false
		}
	}
	return true
}

func TestCronSaysWhatIsWrong(t *testing.T) {
	for expr, want := range map[string]string{
		"":                      "has 0 fields; it has five",
		"* * * *":               "has 4 fields",
		"60 * * * *":            `minute "60": it is a number from 0 to 59`,
		"* 24 * * *":            `hour "24"`,
		"* * 0 * *":             `day of the month "0"`,
		"* * * 13 *":            `month "13": it is a number from 1 to 12 or a name of three letters`,
		"* * * * 8":             `day of the week "8"`,
		"* * * * moon":          `day of the week "moon"`,
		"5-1 * * * *":           "the range ends before it begins",
		"*/0 * * * *":           `the step "0" is not a number from 1`,
		"0 0 30 2 *":            "never comes",
		"@every 10m":            "there is no such descriptor",
		"TZ=UTC 0 0 * * *":      "the zone does not stand in the expression",
		"CRON_TZ=UTC 0 0 * * *": "the zone does not stand in the expression",
	} {
		_, err := parseCron(expr)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strconv.Quote(expr)) {
			t.Errorf("%q: %v, want %q", expr, err, want)
		}
	}
	for _, expr := range []string{"@daily", "@Hourly", "? ? ? ? ?", "0 0 29 2 *", "1,2,3-9/2 */2 1,L jan-mar MON-fri", "0 0 * * 7", "*/5 * * * * *"} {
		if _, err := parseCron(expr); err != nil {
			t.Error(err)
		}
	}
}

// FuzzCron finds expressions that are taken and then panic, or go back.
func FuzzCron(f *testing.F) {
	for _, seed := range []string{"*/5 * * * *", "0 0 L * *", "@daily", "0 0 29 2 1", "1-59/7 */3 1,2 jan sun", "TZ= 0", "* * * * 7"} {
		f.Add(seed)
	}
	zone := mustZone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := parseCron(expr)
		if err != nil {
			return
		}
		r := rule{zone: zone, cron: c}
		at := time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC)
		for range 20 {
			next, ok := r.next(at)
			if !ok {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: %s is not after %s", expr, next, at)
			}
			at = next
		}
	})
}
