package schedules

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A cron is a parsed cron expression: which wall-clock times it matches.
type cron struct {
	second, minute, hour, dom, month, dow uint64 // bit n is set where n matches

	// anyDom and anyDow say that the field is *: if neither is, a date that
	// matches one of them matches.
	anyDom, anyDow bool
	lastDom        bool // L: the last day of the month, besides dom
	// clock says that the hours are *, so that what is meant is a rhythm and not a
	// time of day: see [rule.next].
	clock bool
}

// A field is one of the places of an expression.
type field struct {
	name     string
	min, max int
	names    string // of the values from min on, separated by spaces
}

var (
	fieldSecond = field{"second", 0, 59, ""}
	fieldMinute = field{"minute", 0, 59, ""}
	fieldHour   = field{"hour", 0, 23, ""}
	fieldDom    = field{"day of the month", 1, 31, ""}
	fieldMonth  = field{"month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"}
	fieldDow    = field{"day of the week", 0, 7, "sun mon tue wed thu fri sat"}
)

// descriptors are expressions with a name.
var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
	"@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// parseCron reads an expression of five fields, of six with seconds first, or a
// descriptor. The error says which field is wrong, and what it may be.
func parseCron(expr string) (*cron, error) {
	given := expr
	if d, ok := descriptors[strings.ToLower(strings.TrimSpace(expr))]; ok {
		expr = d
	} else if strings.HasPrefix(strings.TrimSpace(expr), "@") {
		return nil, fmt.Errorf("cron %q: there is no such descriptor; there are @yearly, @monthly, @weekly, @daily and @hourly, and \"every\" for intervals", given)
	}
	f := strings.Fields(expr)
	if len(f) > 0 && strings.Contains(f[0], "=") {
		return nil, fmt.Errorf("cron %q: the zone does not stand in the expression; name it as \"time_zone\"", given)
	}
	switch len(f) {
	case 5:
		f = append([]string{"0"}, f...)
	case 6:
	default:
		return nil, fmt.Errorf("cron %q has %d fields; it has five (minute, hour, day of the month, month, day of the week), or six with seconds first", given, len(f))
	}
	c := &cron{}
	var err error
	read := func(to *uint64, fd field, text string) (star bool) {
		var set uint64
		if set, star = 0, text == "*" || text == "?"; err == nil {
			set, err = fd.parse(text)
		}
		*to = set
		return star
	}
	read(&c.second, fieldSecond, f[0])
	read(&c.minute, fieldMinute, f[1])
	read(&c.hour, fieldHour, f[2])
	dom := f[3]
	if rest, last := withoutL(dom); last {
		c.lastDom, dom = true, rest
	}
	if dom != "" {
		c.anyDom = read(&c.dom, fieldDom, dom)
	}
	read(&c.month, fieldMonth, f[4])
	c.anyDow = read(&c.dow, fieldDow, f[5])
	if err != nil {
		return nil, fmt.Errorf("cron %q: %w", given, err)
	}
	c.dow |= c.dow >> 7 & 1 // 7 is Sunday, too
	c.clock = strings.HasPrefix(f[2], "*") || f[2] == "?" || bits.OnesCount64(c.hour) == 24
	if _, ok := c.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), nil); !ok {
		return nil, fmt.Errorf("cron %q never comes: no month that it names has such a day", given)
	}
	return c, nil
}

// withoutL takes L out of a list of days.
func withoutL(list string) (rest string, found bool) {
	var keep []string
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(part, "l") {
			found = true
			continue
		}
		keep = append(keep, part)
	}
	return strings.Join(keep, ","), found
}

// parse reads a list such as 1,10-20/5,*/15 of one field.
func (f field) parse(list string) (set uint64, err error) {
	for part := range strings.SplitSeq(list, ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			if by, err = strconv.Atoi(step); err != nil || by < 1 {
				return 0, fmt.Errorf("%s %q: the step %q is not a number from 1", f.name, part, step)
			}
		}
		from, to := f.min, f.max
		if span != "*" && span != "?" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = f.value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = f.value(last); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
			if to < from {
				return 0, fmt.Errorf("%s %q: the range ends before it begins", f.name, part)
			}
		}
		for v := from; v <= to; v += by {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f field) value(text string) (int, error) {
	if f.names != "" {
		for i, name := range strings.Fields(f.names) {
			if strings.EqualFold(text, name) {
				return f.min + i, nil
			}
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.min || n > f.max || strings.HasPrefix(text, "+") {
		also := ""
		if f.names != "" {
			also = " or a name of three letters"
		}
		return 0, fmt.Errorf("%s %q: it is a number from %d to %d%s", f.name, text, f.min, f.max, also)
	}
	return n, nil
}

// years is how far a match is looked for: 29 February, on a given day of the
// week, in the worst case.
const years = 41

// next returns the first wall-clock time from from on that matches, whose date is
// not in without. Wall-clock times are written as if they were in UTC.
func (c *cron) next(from time.Time, without map[string]bool) (time.Time, bool) {
	y, m, d := from.Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	second := int(from.Sub(day) / time.Second)
	for end := y + years; day.Year() < end; second = 0 {
		if c.month&(1<<day.Month()) == 0 {
			day = time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		}
		if c.date(day) && !excluded(without, day) {
			if s, ok := c.ofDay(second); ok {
				return day.Add(time.Duration(s) * time.Second), true
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}, false
}

// date reports whether the date matches, its month apart.
func (c *cron) date(day time.Time) bool {
	dom := c.dom&(1<<day.Day()) != 0 || c.lastDom && day.AddDate(0, 0, 1).Day() == 1
	dow := c.dow&(1<<day.Weekday()) != 0
	if c.anyDom || c.anyDow {
		return dom && dow
	}
	return dom || dow
}

// ofDay returns the first second of a day, from one on, that matches.
func (c *cron) ofDay(from int) (int, bool) {
	h, m, s := from/3600, from/60%60, from%60
	for h = after(c.hour, h, &m, &s); h < 24; h = after(c.hour, h+1, &m, &s) {
		for m = after(c.minute, m, &s); m < 60; m = after(c.minute, m+1, &s) {
			if s = bits.TrailingZeros64(c.second >> s << s); s < 60 {
				return h*3600 + m*60 + s, true
			}
			s = 0
		}
		m, s = 0, 0
	}
	return 0, false
}

// after returns the first bit of set from v on, 64 for none. What is smaller than
// it begins at zero where it is another one.
func after(set uint64, v int, smaller ...*int) int {
	found := bits.TrailingZeros64(set >> v << v)
	if found != v {
		for _, s := range smaller {
			*s = 0
		}
	}
	return found
}

// excluded reports whether the date is among those without a time: as
// 2026-12-25, or each year as 12-25.
func excluded(without map[string]bool, day time.Time) bool {
	return len(without) > 0 && (without[day.Format(time.DateOnly)] || without[day.Format("01-02")])
}
