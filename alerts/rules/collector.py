"""Prometheus rules about the collector itself: that it is down, and its own problems."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from alerts.rules.goals import matcher
from inventory.base.types import Text, duration_ms
from inventory.model.alerting import Severity


class PrometheusRule(NamedTuple):
    """``expr`` with {job} to be filled in, and {present}, a matcher of the agents that ought to be heard.

    ``lasting``: for how long it has to be so. Texts may hold templates.
    """

    name: str
    expr: str
    duration: str
    severity: Severity
    summary: Text
    first_step: Text  # what to look at first


COLLECTOR_RULES: Final = (
    PrometheusRule(
        "HaidangCollectorDown",
        'up{{job="{job}"}} == 0',
        "2m",
        "critical",
        Text(
            "Bộ thu thập {{ $labels.instance }} không trả lời", "The collector {{ $labels.instance }} does not answer"
        ),
        Text(
            "Không có thư báo sự cố nào được gửi cho đến khi nó chạy lại. Xem máy chủ và dịch vụ haidang-collector "
            "(systemctl status). Tác tử ở các cơ quan vẫn đo và giữ kết quả: không mất số liệu.",
            "No mail about incidents goes out until it runs again. Look at its machine and at the service "
            "haidang-collector (systemctl status). Agents go on measuring and keep their results: nothing is lost.",
        ),
    ),
    PrometheusRule(
        "HaidangCollectorUnknown",
        'absent(up{{job="{job}"}})',
        "5m",
        "critical",
        Text("Prometheus không biết bộ thu thập nào", "Prometheus knows of no collector"),
        Text(
            "Không có đích nào tên {job} trong cấu hình của Prometheus: không ai trông chừng bộ thu thập.",
            "There is no target of the job {job} in Prometheus's configuration: nobody watches the collector.",
        ),
    ),
    PrometheusRule(
        "HaidangScrapeFailing",
        'changes(up{{job="{job}"}}[15m]) >= 4',
        "5m",
        "warning",
        Text(
            "Bộ thu thập {{ $labels.instance }} lúc trả lời lúc không",
            "The collector {{ $labels.instance }} answers on and off",
        ),
        Text(
            "Nó có thể đang khởi động lại nhiều lần hoặc quá tải. Xem nhật ký: journalctl -u haidang-collector.",
            "It may be starting again and again, or be overloaded. Look at its log: journalctl -u haidang-collector.",
        ),
    ),
    PrometheusRule(
        "HaidangScrapeEmpty",
        'up{{job="{job}"}} == 1 unless on (job, instance) haidang_collector_inventory_checks > 0',
        "10m",
        "critical",
        Text(
            "Bộ thu thập {{ $labels.instance }} chạy nhưng không giám sát gì",
            "The collector {{ $labels.instance }} runs and watches nothing",
        ),
        Text(
            "Đích có thể không phải là bộ thu thập, hoặc kho cấu hình trống: haidang-inventory check.",
            "The target may not be the collector, or its inventory is empty: haidang-inventory check.",
        ),
    ),
    PrometheusRule(
        "HaidangScrapeSlow",
        'scrape_duration_seconds{{job="{job}"}} > 8',
        "15m",
        "warning",
        Text(
            "Lấy số liệu từ {{ $labels.instance }} mất {{ $value | humanizeDuration }}",
            "A scrape of {{ $labels.instance }} takes {{ $value | humanizeDuration }}",
        ),
        Text(
            "Quá 10 giây thì Prometheus bỏ và coi như bộ thu thập không trả lời. Máy chủ có thể quá tải.",
            "Past 10 s Prometheus gives up and takes the collector for dead. Its machine may be overloaded.",
        ),
    ),
    PrometheusRule(
        "HaidangAgentSilent",
        "time() - haidang_agent_last_seen_timestamp_seconds{present} > 600",
        "1m",
        "warning",
        Text(
            "Tác tử {{ $labels.agent }} của {{ $labels.agency }} im lặng",
            "The agent {{ $labels.agent }} of {{ $labels.agency }} is silent",
        ),
        Text(
            "Im lặng không có nghĩa là hỏng: xem đường truyền, rồi điện, rồi máy chạy tác tử.",
            "Silence does not mean down: look at the line, then at the power, then at the agent's machine.",
        ),
    ),
    PrometheusRule(
        "HaidangAgentsSilent",
        "count by (job, instance) (time() - haidang_agent_last_seen_timestamp_seconds{present} > 600)\n"
        "  > 0.5 * count by (job, instance) (haidang_agent_last_seen_timestamp_seconds{present}) > 1",
        "2m",
        "critical",
        Text(
            "Hơn nửa số tác tử im lặng với {{ $labels.instance }} ({{ $value }})",
            "More than half of the agents are silent to {{ $labels.instance }} ({{ $value }})",
        ),
        Text(
            "Thường là do phía trung tâm: cổng 8443 của bộ thu thập, tường lửa, đường truyền của trung tâm, chứng thư.",
            "Mostly it is the centre's side: the collector's port 8443, the firewall, the centre's line, certificates.",
        ),
    ),
    PrometheusRule(
        "HaidangStoreFailing",
        "haidang_collector_commit_consecutive_failures > 0",
        "1m",
        "critical",
        Text("Bộ thu thập {{ $labels.instance }} không ghi được", "The collector {{ $labels.instance }} cannot write"),
        Text(
            "Xem ổ đĩa: còn chỗ không, có lỗi không (df, dmesg). Tác tử giữ kết quả cho đến khi ghi được.",
            "Look at the disk: is it full, does it fail (df, dmesg)? Agents keep results until they can be written.",
        ),
    ),
    PrometheusRule(
        "HaidangStoreSlow",
        "haidang_collector_last_commit_duration_seconds > 1",
        "10m",
        "warning",
        Text(
            "Bộ thu thập {{ $labels.instance }} ghi chậm ({{ $value | humanizeDuration }} một lần)",
            "The collector {{ $labels.instance }} writes slowly ({{ $value | humanizeDuration }} a commit)",
        ),
        Text(
            "Ổ đĩa quá tải hoặc sắp hỏng, hoặc đang sao lưu máy ảo.",
            "The disk is overloaded or about to fail, or the virtual machine is being backed up.",
        ),
    ),
    PrometheusRule(
        "HaidangClockNotTrusted",
        "haidang_collector_clock_trusted == 0",
        "5m",
        "critical",
        Text(
            "Bộ thu thập {{ $labels.instance }} không tin đồng hồ của mình",
            "The collector {{ $labels.instance }} does not trust its clock",
        ),
        Text(
            "Nó nhận và giữ kết quả nhưng chưa xếp vào thời gian, nên trang và số liệu đứng yên. Xem chrony hoặc "
            "timedatectl, và đồng hồ của máy chủ ảo.",
            "It takes and keeps results but places none in time, so pages and figures stand still. Look at chrony or "
            "timedatectl, and at the virtual machine's clock.",
        ),
    ),
    PrometheusRule(
        "HaidangInventoryMistaken",
        "haidang_collector_inventory_mistakes > 0",
        "30m",
        "warning",
        Text(
            "Tệp cấu hình giám sát có {{ $value }} lỗi: bản cũ vẫn được dùng",
            "The inventory's files have {{ $value }} mistakes: the old ones stay in force",
        ),
        Text("Chạy haidang-inventory check để xem từng lỗi.", "haidang-inventory check says each of them."),
    ),
    PrometheusRule(
        "HaidangMailNotGoingOut",
        "haidang_alert_oldest_waiting_seconds > 600",
        "5m",
        "critical",
        Text(
            "Thư báo sự cố đã chờ {{ $value | humanizeDuration }}",
            "A mail about an incident waits for {{ $value | humanizeDuration }}",
        ),
        Text(
            "Xem các máy chủ thư của bộ thu thập: haidang-alerts test ĐỊA_CHỈ. Thư không mất: chúng được gửi lại.",
            "Look at the collector's mail relays: haidang-alerts test ADDRESS. No mail is lost: they are tried again.",
        ),
    ),
    PrometheusRule(
        "HaidangMailHeapingUp",
        "haidang_alert_outbox_waiting > 500",
        "15m",
        "warning",
        Text("{{ $value }} thư báo đang chờ gửi", "{{ $value }} mails wait to be sent"),
        Text(
            "Máy chủ thư nhận chậm, hoặc có quá nhiều sự cố một lúc: xem trang sự cố.",
            "The relay takes them slowly, or there is too much at once: see the page of incidents.",
        ),
    ),
    PrometheusRule(
        "HaidangMailRelayDown",
        "haidang_alert_relay_up == 0",
        "10m",
        "warning",
        Text("Máy chủ thư {{ $labels.relay }} không nhận thư báo", "The mail relay {{ $labels.relay }} takes no mails"),
        Text(
            "Thư đi bằng máy chủ khác nếu có. Xem máy chủ này, mật khẩu và chứng thư của nó.",
            "Mails go by another one if there is one. Look at this relay, its password and its certificate.",
        ),
    ),
    PrometheusRule(
        "HaidangMailNoRelay",
        "max by (job, instance) (haidang_alert_relay_up) == 0",
        "2m",
        "critical",
        Text("Không máy chủ thư nào nhận thư báo", "No mail relay takes mails"),
        Text(
            "Cho đến khi sửa xong, sự cố chỉ thấy được trên trang của bộ thu thập.",
            "Until that is mended, incidents are seen on the collector's pages only.",
        ),
    ),
    PrometheusRule(
        "HaidangWatchdog",
        "vector(1)",
        "0s",
        "info",
        Text("Prometheus và Alertmanager còn chạy", "Prometheus and Alertmanager are alive"),
        Text(
            "Luôn luôn kêu: nơi nhận ở bên ngoài báo khi nó ngừng.",
            "It always fires: who gets it, outside of the centre, tells when it stops.",
        ),
    ),
)


def rules(job: str, absent_agents: Sequence[str], language: str) -> list[dict[str, object]]:
    """The rules as a rule group's YAML has them. ``gone``: agents that are not expected to be heard any more."""
    present = f"{{{matcher('agent', absent_agents, but=True)}}}" if absent_agents else ""
    rendered: list[dict[str, object]] = []
    for rule in COLLECTOR_RULES:
        rendered_rule: dict[str, object] = {"alert": rule.name, "expr": rule.expr.format(job=job, present=present)}
        if duration_ms(rule.duration):
            rendered_rule["for"] = rule.duration
        rendered_rule["labels"] = {"severity": rule.severity}
        texts = {"summary": rule.summary.in_(language), "description": rule.first_step.in_(language)}
        rendered_rule["annotations"] = {key: text.replace("{job}", job) for key, text in texts.items()}
        rendered.append(rendered_rule)
    return rendered
