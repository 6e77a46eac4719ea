import T4Core

/// Metrics in the text form of Prometheus.
struct PrometheusText {
    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    /// Names and values of labels, as they stand between braces.
    struct Labels {
        fileprivate let text: String

        static let none = Labels([])

        init(_ labels: [(name: String, value: String)]) {
            text = labels.map { "\($0.name)=\"\(Labels.escaped($0.value))\"" }.joined(separator: ",")
        }

        init(_ name: String, _ value: String) { self.init([(name, value)]) }

        private static func escaped(_ text: String) -> String {
            var result = ""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\\": result += "\\\\"
                case "\"": result += "\\\""
                case "\n": result += "\\n"
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result
        }
    }

    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    /// One number.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: some Numeric) {
        add(name, kind, help, [(.none, value)])
    }

    /// One number that is 1 or 0.
    mutating func add(_ name: String, _ help: String, is value: Bool) { add(name, .gauge, help, value ? 1 : 0) }

    /// A number for each set of labels.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ values: [(labels: Labels, value: some Numeric)]) {
        begin(name, kind, help)
        for (labels, value) in values {
            text += labels.text.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels.text)} \(value)\n"
        }
    }

    mutating func add(_ name: String, _ help: String, _ reading: Histogram.Reading) {
        add(name, help, [(.none, reading)])
    }

    /// A histogram for each set of labels.
    mutating func add(_ name: String, _ help: String, _ readings: [(labels: Labels, reading: Histogram.Reading)]) {
        begin(name, .histogram, help)
        for (labels, reading) in readings {
            let (first, all) = labels.text.isEmpty ? ("", "") : ("\(labels.text),", "{\(labels.text)}")
            for (bound, count) in reading.atMost { text += "\(name)_bucket{\(first)le=\"\(bound)\"} \(count)\n" }
            text += "\(name)_bucket{\(first)le=\"+Inf\"} \(reading.count)\n"
            text += "\(name)_sum\(all) \(reading.sum)\n\(name)_count\(all) \(reading.count)\n"
        }
    }

    private mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }
}
