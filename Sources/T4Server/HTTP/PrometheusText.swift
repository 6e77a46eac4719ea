import T4Core

/// Metrics in the text form of Prometheus.
struct PrometheusText {
    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    /// One number.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Int) {
        add(name, kind, help, [("", "\(value)")])
    }

    /// One number.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
        add(name, kind, help, [("", "\(value)")])
    }

    /// A number for each set of labels.
    /// - Parameter values: Labels as `{name="value"}`, and the number.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ values: [(labels: String, value: String)]) {
        begin(name, kind, help)
        for (labels, value) in values { text += "\(name)\(labels) \(value)\n" }
    }

    mutating func add(_ name: String, _ help: String, _ reading: LatencyHistogram.Reading) {
        begin(name, .histogram, help)
        for (seconds, count) in reading.atMost { text += "\(name)_bucket{le=\"\(seconds)\"} \(count)\n" }
        text += "\(name)_bucket{le=\"+Inf\"} \(reading.count)\n"
        text += "\(name)_sum \(reading.seconds)\n\(name)_count \(reading.count)\n"
    }

    private mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }
}
