"""Charts are well-formed, escape every name, and put values where they belong."""

import re
import xml.etree.ElementTree as ET

import pytest
from structalign.evaluate.report.charts import bar_chart, heat_map, line_chart, scatter, standalone

SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_is_where_its_values_are() -> None:
    root = ET.fromstring(
        line_chart("x", {"a": [1.0, 2.0, None, 4.0]}, ["1", "2", "3", "4"], "task", "R@1")
    )
    lines = root.findall(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 1]
    ys = [float(point.split(",")[1]) for line in lines for point in line.attrib["points"].split()]
    assert ys[0] > ys[1] > ys[2] and (ys[0] - ys[1]) * 2 == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert len(root.findall(f".//{SVG}circle")) == 4  # three values and the legend


def test_a_heat_map_has_a_cell_and_a_number_per_value() -> None:
    root = ET.fromstring(heat_map("x", [[1.0, None], [2.0, 3.0]], ["r1", "r2"], ["c1", "c2"], 1))
    assert len(root.findall(f"{SVG}rect")) == 3
    assert [text.text for text in root.findall(f"{SVG}text")][-2:] == ["2.0", "3.0"]


def test_names_are_escaped_and_no_values_give_no_chart() -> None:
    name = '<script>alert("x")</script>'
    for svg in (
        line_chart(name, {name: [1.0]}, [name], name, name),
        heat_map(name, [[1.0]], [name], [name]),
        bar_chart(name, {name: [1.0]}, [name], name),
        scatter(name, {name: [(1.0, 2.0)]}, name, name),
    ):
        root = ET.fromstring(standalone(svg))
        assert not root.findall(f".//{SVG}script") and name[:12] in "".join(root.itertext())
        assert root.attrib["aria-label"] == name
    assert line_chart("x", {"a": [None]}, ["1"], "", "") == ""
    assert heat_map("x", [[None]], ["1"], ["1"]) == ""
    assert bar_chart("x", {"a": [None]}, ["1"], "") == scatter("x", {"a": []}, "", "") == ""


def test_bars_begin_at_0() -> None:
    root = ET.fromstring(bar_chart("x", {"a": [2.0, -1.0, None]}, ["p", "q", "r"], "points"))
    up, down = (
        (float(r.attrib["x"]), float(r.attrib["x"]) + float(r.attrib["width"]))
        for r in root.findall(f"{SVG}rect")
    )
    assert up[0] == pytest.approx(down[1], abs=0.2)
    assert up[1] - up[0] == pytest.approx(2 * (down[1] - down[0]), abs=0.3)


def test_the_y_axis_of_a_scatter_plot_points_down() -> None:
    root = ET.fromstring(scatter("x", {"a": [(1.0, 0.0)], "b": [(2.0, 3.0)]}, "", ""))
    kept = root.findall(f"{SVG}circle")[0]
    lost = root.findall(f"{SVG}rect")[0]
    assert float(lost.attrib["y"]) > float(kept.attrib["cy"])
    assert float(lost.attrib["x"]) > float(kept.attrib["cx"])


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.0, 0.0),
        (12.3, 12.3),
        (-0.001, 0.002),
        (0.0, 100.0),
        (99.9, 100.1),
        (-4.6, -4.2),
        (1e-9, 2e-9),
        (-1.2e-5, 3.4e-5),
    ],
)
def test_axes_hold_every_value(low: float, high: float) -> None:
    root = ET.fromstring(line_chart("x", {"a": [low, high]}, ["1", "2"], "", ""))
    grid = [
        float(line.attrib["y1"])
        for line in root.findall(f"{SVG}line")
        if line.attrib.get("class") == "grid"
    ]
    points = [
        float(point.split(",")[1])
        for line in root.findall(f"{SVG}polyline")
        for point in line.attrib["points"].split()
    ]
    assert 2 <= len(grid) <= 9 and min(grid) - 0.2 <= min(points) <= max(points) <= max(grid) + 0.2
    labels = [
        text.text or ""
        for text in root.findall(f"{SVG}text")
        if re.fullmatch(r"−?[\d.]+", text.text or "")
    ]
    assert len(set(labels)) >= len(grid)
    starts = [
        float(text.attrib["x"]) - 7.5 * len(text.text or "")
        for text in root.findall(f"{SVG}text")
        if text.attrib.get("text-anchor") == "end"
    ]
    assert min(starts) >= 20, "no label reaches into the axis's title or out of the picture"
