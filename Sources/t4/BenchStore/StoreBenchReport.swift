/// What `t4 bench-store` found out, one figure a line.
struct StoreBenchReport: Encodable {
    /// A bound that the project has set itself.
    enum Goal: Encodable {
        case atMost(Double)
        case atLeast(Double)

        func isMet(by value: Double) -> Bool {
            switch self {
            case .atMost(let limit): value <= limit
            case .atLeast(let limit): value >= limit
            }
        }

        var text: String {
            switch self {
            case .atMost(let limit): "<= \(StoreBenchReport.text(limit))"
            case .atLeast(let limit): ">= \(StoreBenchReport.text(limit))"
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(text)
        }
    }

    struct Figure: Encodable {
        var part: String
        var name: String
        var value: Double
        var unit: String
        var goal: Goal?
        /// Absent without a goal.
        var is_met: Bool?
    }

    private(set) var figures: [Figure] = []

    var missesGoals: Bool { figures.contains { $0.is_met == false } }

    mutating func add(
        _ part: StoreBenchPart, _ name: String, _ value: Double, _ unit: String = "", goal: Goal? = nil
    ) {
        figures.append(
            Figure(
                part: part.rawValue, name: name, value: value, unit: unit, goal: goal,
                is_met: goal.map { $0.isMet(by: value) }))
    }

    var table: String {
        Table.columns(
            [["PART", "FIGURE", "VALUE", "UNIT", "GOAL"]]
                + figures.map { figure in
                    [
                        figure.part, figure.name, StoreBenchReport.text(figure.value), figure.unit,
                        (figure.goal?.text ?? "") + (figure.is_met == false ? " no" : ""),
                    ]
                })
    }

    /// Three digits behind the point for small numbers, none for large ones.
    private static func text(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        if value >= 1000 || value == value.rounded() { return "\(Int(value.rounded()))" }
        return value >= 10 ? "\((value * 10).rounded() / 10)" : "\((value * 1000).rounded() / 1000)"
    }
}

/// Parts of the benchmark, in the order in which they run.
enum StoreBenchPart: String, CaseIterable {
    case checkpoint, restore, durability, collection, history
}

extension Array where Element == Double {
    /// The middle one; 0 if there are none.
    var median: Double { isEmpty ? 0 : sorted()[count / 2] }
}
