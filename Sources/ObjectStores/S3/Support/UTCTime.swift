/// A point in time in whole seconds, and its texts in the requests and answers of AWS.
struct UTCTime: Hashable, Comparable, Sendable {
    /// Seconds since 1970.
    var seconds: Int

    init(seconds: Int) { self.seconds = seconds }

    static func < (left: UTCTime, right: UTCTime) -> Bool { left.seconds < right.seconds }

    /// `20130524`
    var basicDay: String { String(basicText.prefix(8)) }

    /// `20130524T000000Z`
    var basicText: String {
        let day = seconds.floorDivided(by: 86_400)
        let second = seconds - day * 86_400
        let date = Self.date(day: day)
        return Self.digits(date.year, 4) + Self.digits(date.month, 2) + Self.digits(date.day, 2) + "T"
            + Self.digits(second / 3600, 2) + Self.digits(second / 60 % 60, 2) + Self.digits(second % 60, 2) + "Z"
    }

    /// Reads the `Date` header: `Fri, 24 May 2013 00:00:00 GMT`.
    init?(httpDate text: String) {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(of: String(words[2])) else {
            return nil
        }
        self.init(year: words[3], month: "\(month + 1)", day: words[1], time: words[4])
    }

    /// Reads `2013-05-24T00:00:00Z`, with or without a fraction of a second.
    init?(iso8601 text: String) {
        guard text.hasSuffix("Z"), let middle = text.firstIndex(of: "T") else { return nil }
        let date = text[..<middle].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3 else { return nil }
        let time = text[text.index(after: middle)...].dropLast().prefix { $0 != "." }
        self.init(year: date[0], month: date[1], day: date[2], time: time)
    }

    private init?(year: some StringProtocol, month: some StringProtocol, day: some StringProtocol, time: Substring) {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard let year = Int(year), let month = Int(month), let day = Int(day), clock.count == 3,
            let hour = clock[0], let minute = clock[1], let second = clock[2], (1970...9999).contains(year),
            (1...12).contains(month), (1...31).contains(day), (0...23).contains(hour), (0...59).contains(minute),
            (0...60).contains(second)
        else { return nil }
        seconds = Self.dayNumber(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    }

    /// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that the leap day is the
    /// last of its year.
    private static func dayNumber(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }

    private static func date(day: Int) -> (year: Int, month: Int, day: Int) {
        // The year of the mean length is right or one too small.
        var year = 1970 + day * 400 / 146_097 - 1
        while dayNumber(year + 1, 1, 1) <= day { year += 1 }
        var month = 12
        while dayNumber(year, month, 1) > day { month -= 1 }
        return (year, month, day - dayNumber(year, month, 1) + 1)
    }

    private static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}

extension Int {
    fileprivate func floorDivided(by divisor: Int) -> Int {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
