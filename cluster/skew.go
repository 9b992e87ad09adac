package cluster

import "context"

// checkClock measures the clock against the broker's (P25).
func (m *Member) checkClock(ctx context.Context) error {
	if m.cfg.Embedded {
		return nil // it is the same clock
	}
	began := m.cfg.clock()
	skew, err := m.cfg.Store.ClockSkew(ctx)
	if err != nil {
		return err
	}
	blur := (m.cfg.clock() - began) / 2 // the error of the measure
	refuse := skew.Abs()-blur > maxSkew
	m.mu.Lock()
	defer m.mu.Unlock()
	if refuse && !m.refusing {
		m.cfg.Log.Error("the clock differs from the broker's by more than a second: this node owns no partitions until that is mended; set its clock, for instance by NTP",
			"node", m.cfg.Node, "behind", skew)
	} else if !refuse && m.refusing {
		m.cfg.Log.Info("the clock agrees with the broker's again", "node", m.cfg.Node)
	}
	if refuse != m.refusing {
		m.refusing = refuse
		poke(m.renew)
	}
	return nil
}
