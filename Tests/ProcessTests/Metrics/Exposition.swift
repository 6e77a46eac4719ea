/// What a node answers to `GET /metrics`, read.
struct Exposition {
    /// The type of each metric.
    private(set) var types: [String: String] = [:]
    /// Names of the labels that the numbers of a metric have, but for `le`.
    private(set) var labels: [String: Set<String>] = [:]
    /// Lines that are nothing that belongs there.
    private(set) var problems: [Substring] = []

    init(_ text: String) {
        for line in text.split(separator: "\n") {
            if let type = line.wholeMatch(of: /# TYPE (?<name>\w+) (?<type>counter|gauge|histogram)/) {
                types[String(type.name)] = String(type.type)
            } else if let number = line.wholeMatch(of: /(?<name>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)/),
                Double(number.value) != nil, let name = metric(number.name)
            {
                let names = (number.labels ?? "").matches(of: /(?<name>\w+)="(?:[^"\\]|\\.)*"/).map { String($0.name) }
                labels[name, default: []].formUnion(names.filter { $0 != "le" })
            } else if !line.hasPrefix("# HELP ") {
                problems.append(line)
            }
        }
    }

    /// The metric that a series belongs to.
    private func metric(_ series: Substring) -> String? {
        let series = String(series)
        if let type = types[series] { return type == "histogram" ? nil : series }
        for end in ["_bucket", "_sum", "_count"] where series.hasSuffix(end) {
            let name = String(series.dropLast(end.count))
            if types[name] == "histogram" { return name }
        }
        return nil
    }

    /// Takes in what another node says.
    mutating func add(_ other: Exposition) {
        types.merge(other.types) { $1 }
        labels.merge(other.labels) { $0.union($1) }
        problems += other.problems
    }
}
