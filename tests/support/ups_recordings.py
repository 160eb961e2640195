"""UPSs recorded in snmpsim's format, each in some condition, with everything that ought to be made of it.

Nobody's devices: what they serve follows each family's MIB and the quirks of its cards; figures and names are ours.
"""

from dataclasses import dataclass

from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

UPS_MIB = "1.3.6.1.2.1.33.1"
PORT = "1.3.6.1.2.1.2.2.1"
BYPASSED, REPLACE = "on bypass, the load is not protected", "the battery is to be replaced"


@dataclass(frozen=True)
class Recording:
    """``rows``: snmprec lines. ``state`` and ``reason``: of the kind ups; ``source``: the state of the kind power.

    ``measures``: all of the kind ups, without the battery's age. ``aged``: that there is one.
    """

    rows: str
    state: int
    reason: str
    source: int
    measures: dict[str, float]
    aged: bool = False


def under(root: str, *rows: str) -> str:
    return "".join(f"{root}.{row}\n" for row in rows)


def system(identity: str, description: str = "UPS card") -> str:
    """The system group and two ports, the second of them down, with 64-bit counters nowhere."""
    return under(
        "1.3.6.1.2.1.1", f"1.0|4|{description}", f"2.0|6|{identity}", "3.0|67|8640050", "5.0|4|ups-tang-2"
    ) + under(
        PORT, "1.1|2|1", "1.2|2|2", "2.1|4|lo", "2.2|4|eth0", "3.1|2|24", "3.2|2|6", "5.1|66|0", "5.2|66|100000000",
        "7.1|2|1", "7.2|2|1", "8.1|2|1", "8.2|2|2", "10.1|65|7", "10.2|65|1000", "13.1|65|0", "13.2|65|0",
        "14.1|65|0", "14.2|65|0", "16.1|65|7", "16.2|65|2000", "19.1|65|0", "19.2|65|0", "20.1|65|0", "20.2|65|0",
    )  # fmt: skip


def source(on: str, **more: float) -> dict[str, float]:
    """The flags of a table that names all sources: on ``mains``, ``battery`` or ``off``, and what else is so."""
    flags = dict.fromkeys(("on_mains", "on_battery", "output_off", "bypass", "boost", "trim"), 0.0)
    return {**flags, {"mains": "on_mains", "battery": "on_battery", "off": "output_off"}[on]: 1.0, **more}


APC = "1.3.6.1.4.1.318.1.1.1"
CPS = "1.3.6.1.4.1.3808.1.1.1"
DELL = "1.3.6.1.4.1.674.10902.2"
HUAWEI = "1.3.6.1.4.1.2011.6.174.1"
LIEBERT = "1.3.6.1.4.1.476.1.42.3"
MGE = "1.3.6.1.4.1.705.1"
SOCOMEC = "1.3.6.1.4.1.4555.1.1"
TRIPPLITE = "1.3.6.1.4.1.850.1.1.3.1"
XPPC = "1.3.6.1.4.1.935.1.1.1"
XUPS = "1.3.6.1.4.1.534.1"

RECORDINGS = {
    # -1 and 0 in the objects of high precision: the older ones count
    "apc-boost": Recording(
        system("1.3.6.1.4.1.318.1.3.2.11")
        + under(
            APC, "2.1.1.0|2|2", "2.1.2.0|67|0", "2.1.3.0|4|11/20/24", "2.2.1.0|66|97", "2.2.2.0|66|31",
            "2.2.3.0|67|222000", "2.2.4.0|2|1", "2.2.8.0|2|54", "2.3.1.0|66|0", "2.3.2.0|66|0", "2.3.4.0|2|-1",
            "3.2.1.0|66|196", "3.2.4.0|66|50", "3.3.1.0|66|0", "3.3.4.0|66|4294967295", "4.1.1.0|2|4", "4.2.1.0|66|221",
            "4.2.2.0|66|50", "4.2.3.0|66|38", "4.3.3.0|66|0", "7.2.3.0|2|1", "7.2.4.0|4|03/02/2026", "8.1.0|2|1",
        ),
        UP, "", UP,
        {**source("mains", boost=1.0), "low_battery": 0, "replace_battery": 0, "self_test_passed": 1,
         "self_test_timestamp": 1_772_409_600, "charge_ratio": 0.97, "runtime_seconds": 2220, "battery_volts": 54,
         "temperature_celsius": 31, "input_volts": 196, "input_hertz": 50, "output_volts": 221, "output_hertz": 50,
         "load_ratio": 0.38},
        aged=True,
    ),
    # one phase in the tables of three: the older objects are more exact
    "apc-one-phase-table": Recording(
        system("1.3.6.1.4.1.318.1.3.2.12")
        + under(
            APC, "2.1.1.0|2|2", "2.3.1.0|66|1000", "3.3.1.0|66|2296", "4.1.1.0|2|13", "4.3.1.0|66|2301",
            "4.3.3.0|66|184", "9.2.3.1.3.1.1.1|2|229", "9.3.3.1.3.1.1.1|2|230", "9.3.3.1.10.1.1.1|2|18",
            "11.1.1.0|4|" + "0" * 64,
        ),
        UP, "", UP,
        {**source("mains"), "low_battery": 0, "overload": 0, "replace_battery": 0, "calibrating": 0, "charge_ratio": 1,
         "input_volts": 229.6, "output_volts": 230.1, "load_ratio": 0.184},
    ),
    "apc-battery": Recording(
        system("1.3.6.1.4.1.318.1.3.2.11")
        + under(
            APC, "2.1.1.0|2|2", "2.1.2.0|67|9000", "2.2.1.0|66|71", "2.2.2.0|66|33", "2.2.3.0|67|126000", "2.2.4.0|2|1",
            "2.2.8.0|2|49", "3.2.1.0|66|0", "3.2.4.0|66|0", "4.1.1.0|2|3", "4.2.1.0|66|230", "4.2.2.0|66|50",
            "4.2.3.0|66|42", "7.2.3.0|2|2", "8.1.0|2|1",
        ),
        DEGRADED, "on battery for 90 s, charge 71%, runtime 21 min; the last self-test was not passed", DEGRADED,
        {**source("battery"), "low_battery": 0, "replace_battery": 0, "self_test_passed": 0, "charge_ratio": 0.71,
         "runtime_seconds": 1260, "on_battery_seconds": 90, "battery_volts": 49, "temperature_celsius": 33,
         "input_volts": 0, "output_volts": 230, "output_hertz": 50, "load_ratio": 0.42},
    ),
    "apc-battery-low": Recording(
        system("1.3.6.1.4.1.318.1.3.2.7")
        + under(
            APC, "2.1.1.0|2|3", "2.1.2.0|67|61500", "2.2.4.0|2|1", "2.3.1.0|66|145", "2.3.2.0|66|402", "2.3.4.0|2|229",
            "2.2.3.0|67|18000", "3.3.1.0|66|0", "3.2.1.0|66|0", "4.1.1.0|2|3", "4.3.1.0|66|2299", "4.3.2.0|66|500",
            "4.3.3.0|66|611", "8.1.0|2|1",
        ),
        DOWN, "its battery is low: on battery for 10 min, charge 14%, runtime 3 min", DEGRADED,
        {**source("battery"), "low_battery": 1, "replace_battery": 0, "charge_ratio": 0.145, "runtime_seconds": 180,
         "on_battery_seconds": 615, "battery_volts": 22.9, "temperature_celsius": 40.2, "input_volts": 0,
         "output_volts": 229.9, "output_hertz": 50, "load_ratio": 0.611},
    ),
    "apc-three-phase-bypass": Recording(
        system("1.3.6.1.4.1.318.1.3.28.75")
        + under(
            APC, "2.1.1.0|2|2", "2.2.1.0|66|100", "2.2.2.0|66|28", "2.2.3.0|67|545100", "2.2.4.0|2|1", "2.2.8.0|2|538",
            "4.1.1.0|2|9", "4.2.2.0|66|50", "4.2.3.0|66|34", "9.2.2.1.4.1|2|499", "9.2.3.1.3.1.1.1|2|228",
            "9.2.3.1.3.1.1.2|2|231", "9.2.3.1.3.1.1.3|2|229", "9.3.2.1.4.1|2|500", "9.3.3.1.3.1.1.1|2|230",
            "9.3.3.1.3.1.1.2|2|230", "9.3.3.1.3.1.1.3|2|226", "9.3.3.1.10.1.1.1|2|33", "9.3.3.1.10.1.1.2|2|36",
            "9.3.3.1.10.1.1.3|2|-1", "3.3.1.0|66|4294967295",
        ),
        DEGRADED, BYPASSED, UP,
        {**source("mains", bypass=1.0), "low_battery": 0, "replace_battery": 0, "charge_ratio": 1,
         "runtime_seconds": 5451, "battery_volts": 538, "temperature_celsius": 28, "input_volts": 228,
         "input_hertz": 49.9, "output_volts": 226, "output_hertz": 50, "load_ratio": 0.36},
    ),
    "cyberpower-trim": Recording(
        system("1.3.6.1.4.1.3808.1.1.1.1")
        + under(
            CPS, "2.1.1.0|2|2", "2.2.1.0|66|100", "2.2.2.0|66|410", "2.2.3.0|4|NULL", "2.2.4.0|67|156000",
            "2.2.5.0|2|1", "3.2.1.0|66|2471", "3.2.4.0|66|0", "4.1.1.0|2|10", "4.2.1.0|66|2204", "4.2.2.0|2|499",
            "4.2.3.0|66|65535",
        )
        + f"{UPS_MIB}.1.1.0|4|CPS\n",
        UP, "", UP,
        {**source("mains", trim=1.0), "overload": 0, "low_battery": 0, "replace_battery": 0, "charge_ratio": 1,
         "runtime_seconds": 1560, "battery_volts": 41, "input_volts": 247.1, "output_volts": 220.4,
         "output_hertz": 49.9},
    ),
    # nothing of the standard MIB beside it: the source follows from what the battery does
    "dell-alone": Recording(
        system("1.3.6.1.4.1.674.10902.2")
        + under(DELL, "110.1.0|2|4", "120.4.2.0|4|53,93", "120.5.1.0|2|3", "120.5.2.0|2|6", "120.5.3.0|2|8645"),
        DEGRADED, REPLACE, UP,
        {"on_battery": 0, "output_off": 0, "bypass": 0, "boost": 0, "overload": 0, "low_battery": 0,
         "replace_battery": 1, "runtime_seconds": 8645},
    ),
    "huawei-three-phase-battery": Recording(
        system("1.3.6.1.4.1.8072.3.2.10", "a card")
        + under(
            HUAWEI, "2.101.1.1.1|2|4", "2.101.1.3.1|2|6", "3.100.1.1.1|2|0", "3.100.1.2.1|2|0", "3.100.1.3.1|2|0",
            "3.100.1.4.1|2|2147483647", "4.100.1.1.1|2|2197", "4.100.1.2.1|2|2201", "4.100.1.3.1|2|2199",
            "4.100.1.7.1|2|5001", "4.100.1.14.1|2|182", "4.100.1.15.1|2|447", "4.100.1.16.1|2|305",
            "6.100.1.1.1|2|4011", "6.100.1.3.1|2|71", "6.100.1.4.1|2|2460",
        ),
        DEGRADED, "on battery, charge 71%, runtime 41 min", DEGRADED,
        {"on_mains": 0, "on_battery": 1, "output_off": 0, "bypass": 0, "charge_ratio": 0.71, "runtime_seconds": 2460,
         "battery_volts": 401.1, "input_volts": 0, "output_volts": 219.7, "output_hertz": 50.01, "load_ratio": 0.447},
    ),
    # texts in final units and events by name
    "liebert-replace": Recording(
        system("1.3.6.1.4.1.476.1.42")
        + under(
            f"{LIEBERT}.9.20.1.20.1.2", "1.4096|4|228.9", "1.4105|4|50.1", "1.4148|4|81.3", "1.4150|4|37",
            "1.4153|4|100", "1.4156|4|29", "1.4207|4|50.0", "1.4385|4|230.4", "1.4872|4|Normal", "1.5861|4|Unavailable",
            "1.4223|4|44", "100.4162|4|Inactive Event", "100.5806|4|Inactive Event", "100.6182|4|Active Alarm",
        )
        + under(UPS_MIB, "2.1.0|2|2", "2.3.0|2|20", "4.1.0|2|3"),
        DEGRADED, REPLACE, UP,
        {**source("mains"), "low_battery": 0, "overload": 0, "replace_battery": 1, "charge_ratio": 1,
         "runtime_seconds": 2220, "battery_volts": 81.3, "temperature_celsius": 29, "input_volts": 228.9,
         "input_hertz": 50.1, "output_volts": 230.4, "output_hertz": 50, "load_ratio": 0.44},
    ),
    # tables indexed n.0, volts between lines; the standard MIB in part, with tenths where volts belong
    "mge-three-phase-replace": Recording(
        system("1.3.6.1.4.1.705.1.2", "three phases")
        + under(
            MGE, "5.1.0|2|6835", "5.2.0|2|100", "5.5.0|2|6010", "5.7.0|2|23", "5.9.0|2|2", "5.11.0|2|1", "5.14.0|2|2",
            "5.15.0|2|2", "5.16.0|2|2", "6.1.0|2|3", "6.2.1.2.1.0|2|4010", "6.2.1.2.2.0|2|3985", "6.2.1.2.3.0|2|3995",
            "6.2.1.3.1.0|2|500", "6.2.1.3.2.0|2|500", "7.2.1.2.1.0|2|3965", "7.2.1.2.2.0|2|3972", "7.2.1.3.1.0|2|501",
            "7.2.1.4.1.0|2|21", "7.2.1.4.2.0|2|34", "7.2.1.4.3.0|2|28", "7.3.0|2|2", "7.4.0|2|2", "7.7.0|2|2",
            "7.9.0|2|2", "7.10.0|2|2", "7.11.0|2|2",
        )
        + under(UPS_MIB, "3.3.1.3.1.0|66|2314", "4.4.1.2.1.0|66|2297", "4.4.1.5.1.0|66|12"),
        DEGRADED, REPLACE, UP,
        {"on_mains": 1, "on_battery": 0, "bypass": 0, "output_off": 0, "overload": 0, "low_battery": 0,
         "replace_battery": 1, "charge_ratio": 1, "runtime_seconds": 6835, "battery_volts": 601,
         "temperature_celsius": 23, "input_volts": 398.5, "input_hertz": 50, "output_volts": 396.5,
         "output_hertz": 50.1, "load_ratio": 0.34},
    ),
    # lines that are not there are 0, missing temperatures all ones
    "vertiv-ita2-battery": Recording(
        system("1.3.6.1.4.1.13400.2.54", "LwIP")
        + under(
            "1.3.6.1.4.1.13400.2.54", "1.2.0|4|ITA2", "2.1.1.0|2|1", "2.1.2.0|2|2", "2.2.1.0|2|0", "2.2.2.0|2|0",
            "2.2.3.0|2|0", "2.2.4.0|2|0", "2.3.1.0|2|2302", "2.3.2.0|2|0", "2.3.3.0|2|0", "2.3.7.0|2|5003",
            "2.3.14.0|2|312", "2.3.15.0|2|0", "2.3.16.0|2|0", "2.5.1.0|2|2094", "2.5.7.0|2|48", "2.5.8.0|2|65535",
            "2.5.9.0|2|28500", "2.5.10.0|2|67",
        ),
        DEGRADED, "on battery, charge 67%, runtime 48 min", DEGRADED,
        {"on_mains": 0, "on_battery": 1, "output_off": 0, "bypass": 0, "charge_ratio": 0.67, "runtime_seconds": 2880,
         "battery_volts": 209.4, "temperature_celsius": 28.5, "input_volts": 0, "output_volts": 230.2,
         "output_hertz": 50.03, "load_ratio": 0.312},
    ),
    # the standard MIB alone, whole volts of battery, Null where there is nothing
    "standard-three-phase-battery": Recording(
        system("1.3.6.1.4.1.2254.2.4")
        + under(
            UPS_MIB, "2.1.0|2|2", "2.2.0|2|95", "2.3.0|2|26", "2.4.0|2|88", "2.5.0|2|54", "2.6.0|5|",
            "2.7.0|2|2147483647", "3.2.0|2|3", "3.3.1.2.1.0|2|0", "3.3.1.3.1.0|66|0", "3.3.1.3.2.0|66|0",
            "3.3.1.3.3.0|66|0", "4.1.0|2|5", "4.2.0|2|500", "4.4.1.2.1.0|66|2294", "4.4.1.2.2.0|66|2287",
            "4.4.1.2.3.0|66|2302", "4.4.1.5.1.0|66|18", "4.4.1.5.2.0|66|22", "4.4.1.5.3.0|66|9", "5.1.0|5|",
            "6.1.0|66|1", f"6.2.1.2.4|6|{UPS_MIB}.6.3.2", "7.1.0|6|1.3.6.1.2.1.33.1.7.7.1", "7.3.0|2|6",
        ),
        DEGRADED, "on battery for 95 s, charge 88%, runtime 26 min", DEGRADED,
        {**source("battery"), "overload": 0, "low_battery": 0, "replace_battery": 0, "charge_ratio": 0.88,
         "runtime_seconds": 1560, "on_battery_seconds": 95, "battery_volts": 54, "input_volts": 0,
         "output_volts": 228.7, "output_hertz": 50, "load_ratio": 0.22},
    ),
    # a deep test on battery is a calibration
    "standard-calibration": Recording(
        system("1.3.6.1.2.1.33")
        + under(
            UPS_MIB, "2.1.0|2|2", "2.3.0|2|40", "2.4.0|2|70", "4.1.0|2|5", "7.1.0|6|1.3.6.1.2.1.33.1.7.7.5",
            "7.3.0|2|5",
        ),
        DEGRADED, "on battery, charge 70%, runtime 40 min (calibrating)", DEGRADED,
        {**source("battery"), "calibrating": 1, "low_battery": 0, "charge_ratio": 0.7, "runtime_seconds": 2400},
    ),
    "socomec-battery-low": Recording(
        system("1.3.6.1.4.1.4555.1.1.7")
        + under(
            f"{SOCOMEC}.7.1", "2.1.0|2|6", "2.2.0|2|1210", "2.3.0|2|4", "2.4.0|2|11", "2.5.0|2|4812", "2.6.0|2|0",
            "2.7.0|2|265", "3.2.0|2|65535", "3.3.1.2.1|2|0", "3.3.1.2.2|2|0", "3.3.1.2.3|2|0", "4.1.0|2|3",
            "4.2.0|2|500", "4.4.1.2.1|2|2300", "4.4.1.2.2|2|2290", "4.4.1.2.3|2|2310", "4.4.1.4.1|2|31",
            "4.4.1.4.2|2|12", "4.4.1.4.3|2|65535", "6.3.2.0|2|0", "6.3.13.0|2|1", "6.3.15.0|2|1", "6.3.19.0|2|0",
        ),
        DOWN, "its battery is low: on battery for 20 min, charge 11%, runtime 4 min", DEGRADED,
        {"on_mains": 0, "on_battery": 1, "output_off": 0, "bypass": 0, "overload": 0, "low_battery": 1,
         "replace_battery": 0, "charge_ratio": 0.11, "runtime_seconds": 240, "on_battery_seconds": 1210,
         "battery_volts": 481.2, "temperature_celsius": 26.5, "input_volts": 0, "output_volts": 229,
         "output_hertz": 50, "load_ratio": 0.31},
    ),
    # whole degrees where the other generation has tenths; no runtime while nothing is drawn; the output not told
    "socomec-older-partial": Recording(
        under(f"{SOCOMEC}.1.1", "2.1.0|2|2", "2.3.0|2|0", "2.4.0|2|100", "2.5.0|2|2712", "2.6.0|2|24", "2.7.0|2|27"),
        UP, "", UP,
        {"on_battery": 0, "low_battery": 0, "charge_ratio": 1, "battery_volts": 271.2, "temperature_celsius": 27},
    ),
    "tripplite-overload": Recording(
        system("1.3.6.1.4.1.850.1.1.1")
        + under(
            TRIPPLITE, "2.1.1.6.1|2|1", "2.1.1.7.1|2|281", "3.1.1.1.1.1|2|2", "3.1.1.1.2.1|66|0", "3.1.1.1.3.1|66|9",
            "3.1.1.1.4.1|2|100", "3.1.2.1.1.1|66|544", "3.1.5.1.1.1.1|2|1", "3.1.5.1.2.1.1|66|4294964565",
            "3.2.2.1.2.1.1|66|500", "3.2.2.1.3.1.1|66|2309", "3.3.1.1.1.1|2|3", "3.3.1.1.3.1|66|500",
            "3.3.2.1.2.1.1|66|2301", "3.3.2.1.5.1.1|2|107",
        )
        + under(UPS_MIB, "2.1.0|2|2", "2.7.0|2|-273", "4.1.0|2|1"),
        DEGRADED, "overloaded", UP,
        {**source("mains"), "overload": 1, "low_battery": 0, "replace_battery": 0, "self_test_passed": 1,
         "charge_ratio": 1, "runtime_seconds": 540, "battery_volts": 54.4, "temperature_celsius": 28.1,
         "input_volts": 230.9, "input_hertz": 50, "output_volts": 230.1, "output_hertz": 50, "load_ratio": 1.07},
    ),
    # a group of its own for three phases, with codes that count through the whole group
    "xppc-three-phase-bypass": Recording(
        system("1.3.6.1.4.1.935")
        + under(
            XPPC, "2.1.1.0|2|2", "2.2.1.0|2|100", "2.2.3.0|2|31", "8.2.1.0|2|500", "8.2.2.0|2|2301", "8.2.3.0|2|2295",
            "8.2.4.0|2|2311", "8.3.1.0|2|501", "8.3.2.0|2|2200", "8.3.3.0|2|2195", "8.3.4.0|2|2205", "8.3.5.0|2|330",
            "8.3.6.0|2|275", "8.3.7.0|2|410", "8.5.2.0|2|16", "8.5.5.0|2|5", "8.6.2.0|2|9", "8.6.4.0|2|13",
            "8.7.1.0|2|16", "8.7.4.0|2|14", "8.7.6.0|2|16",
        ),
        DEGRADED, f"{BYPASSED}; overloaded", UP,
        {"on_battery": 0, "bypass": 1, "overload": 1, "low_battery": 0, "charge_ratio": 1, "temperature_celsius": 31,
         "input_volts": 229.5, "input_hertz": 50, "output_volts": 219.5, "output_hertz": 50.1, "load_ratio": 0.41},
    ),
    # most is told by the table of alarms
    "xups-battery": Recording(
        system("1.3.6.1.4.1.534.1")
        + under(
            XUPS, "2.1.0|2|1502", "2.2.0|2|261", "2.4.0|2|64", "2.5.0|2|2", "2.6.0|4|2001-01-01", "3.1.0|2|0",
            "3.4.1.2.1|2|0", "3.4.1.2.2|2|0", "3.4.1.2.3|2|0", "4.1.0|2|35", "4.2.0|2|500", "4.4.1.2.1|2|229",
            "4.4.1.2.2|2|231", "4.4.1.2.3|2|230", "4.5.0|2|1", "6.1.0|2|27", "7.1.0|66|2", f"7.2.1.2.8|6|{XUPS}.7.3",
            f"7.2.1.2.9|6|{XUPS}.7.7", "8.2.0|2|2", "8.2.0.0|2|2",
        ),
        DEGRADED, "on battery, charge 64%, runtime 25 min; overloaded", DEGRADED,
        {"on_mains": 0, "on_battery": 1, "output_off": 0, "bypass": 0, "overload": 1, "low_battery": 0,
         "replace_battery": 0, "self_test_passed": 1, "charge_ratio": 0.64, "runtime_seconds": 1502,
         "battery_volts": 261, "temperature_celsius": 27, "input_volts": 0, "output_volts": 229, "output_hertz": 50,
         "load_ratio": 0.35},
    ),
    # a part that has none of the objects by which the family is known; only one of three lines is live
    "xups-input-alone": Recording(
        under(XUPS, "3.1.0|2|500", "3.4.1.2.1|2|0", "3.4.1.2.2|2|231", "3.4.1.2.3|2|0"),
        UNKNOWN, "it does not say what it runs on", UNKNOWN,
        {"input_volts": 231, "input_hertz": 50},
    ),
}  # fmt: skip
