// Package forecast has an agent that answers questions about the weather with
// a model and one tool.
//
//	advice, err := perdure.Call(ctx, client, forecast.Weather.At("amsterdam"), "Do I need a coat?")
package forecast
