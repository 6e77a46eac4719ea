/// A moment, to the nanosecond, as commits are stamped: from 1970 into the year 2554.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Nanoseconds since the beginning of 1970, UTC.
    public var nanoseconds: UInt64

    /// A moment by its distance from the beginning of 1970, UTC.
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Reads a date and a time with an offset, as RFC 3339 writes them: `2024-06-01T12:00:00Z`,
    /// `2024-06-01T14:00:00.123456789+02:00`. Nil when the text is none, one outside of the range, a leap second, or
    /// finer than nanoseconds.
    public init?(_ text: String) {
        var reader = Reader(rest: Array(text.utf8)[...])
        guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"),
            let day = reader.number(2), reader.skip("T") || reader.skip("t"), let hour = reader.number(2),
            reader.skip(":"), let minute = reader.number(2), reader.skip(":"), let second = reader.number(2),
            let fraction = reader.fraction(), let offset = reader.offset(), reader.rest.isEmpty,
            (1...12).contains(month), (1...Timestamp.days(in: month, of: year)).contains(day), hour < 24, minute < 60,
            second < 60
        else { return nil }
        let days =
            Timestamp.days(until: year) + (1..<month).reduce(0) { $0 + Timestamp.days(in: $1, of: year) } + day - 1
        let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
        guard let whole = UInt64(exactly: seconds) else { return nil }
        let (scaled, tooLarge) = whole.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflows) = scaled.addingReportingOverflow(UInt64(fraction))
        guard !tooLarge, !overflows else { return nil }
        nanoseconds = sum
    }

    /// Orders by time.
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }

    /// As RFC 3339 writes it, in UTC, without zeros at the end of the fraction.
    public var description: String {
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let (seconds, fraction) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let (total, time) = Int(seconds).quotientAndRemainder(dividingBy: 86_400)
        var (year, day) = (1970 + total / 366, total)
        while Timestamp.days(until: year + 1) <= total { year += 1 }
        day -= Timestamp.days(until: year)
        var month = 1
        while day >= Timestamp.days(in: month, of: year) {
            day -= Timestamp.days(in: month, of: year)
            month += 1
        }
        var text = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day + 1, 2))T"
        text += "\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
        if fraction > 0 {
            var digits = padded(Int(fraction), 9)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += ".\(digits)"
        }
        return text + "Z"
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func days(in month: Int, of year: Int) -> Int {
        month == 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Days from the beginning of 1970 to that of a year; negative before.
    private static func days(until year: Int) -> Int {
        func leapYears(before year: Int) -> Int { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 }
        return (year - 1970) * 365 + leapYears(before: year) - leapYears(before: 1970)
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard rest.first == UInt8(ascii: character) else { return false }
            rest.removeFirst()
            return true
        }

        mutating func number(_ count: Int) -> Int? {
            let digits = rest.prefix(count)
            guard digits.count == count, digits.allSatisfy(isDigit) else { return nil }
            rest.removeFirst(count)
            return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        }

        /// Nanoseconds; 0 when there is no fraction.
        mutating func fraction() -> Int? {
            guard skip(".") else { return 0 }
            let count = rest.prefix(while: isDigit).count
            guard (1...9).contains(count), let number = number(count) else { return nil }
            return (count..<9).reduce(number) { number, _ in number * 10 }
        }

        /// Minutes east of UTC.
        mutating func offset() -> Int? {
            if skip("Z") || skip("z") { return 0 }
            let isEast = skip("+")
            guard isEast || skip("-"), let hours = number(2), skip(":"), let minutes = number(2), hours < 24,
                minutes < 60
            else { return nil }
            return (hours * 60 + minutes) * (isEast ? 1 : -1)
        }

        private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    }
}
