"""The codec gives back what was put in, and refuses anything else with the place, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest

from verify import codec, observation
from verify.codec import Malformed
from verify.observation import Size


class Colour(StrEnum):
    red = "red"
    blue = "blue"


@dataclass(frozen=True)
class Wheel:
    inches: int
    spokes: tuple[int, ...]


@dataclass(frozen=True)
class Cart:
    wheels: tuple[Wheel, ...]
    colour: Colour
    load: Literal["hay", "stones"]
    owner: str | None
    weights: Mapping[str, int | str]
    places: dict[int, float]
    pair: tuple[str, bool]
    marks: list[str]
    raw: bytes
    barn: Path | None
    version: Literal[1] = 1


CART = Cart(
    wheels=(Wheel(26, (1, 2)), Wheel(28, ())),
    colour=Colour.blue,
    load="hay",
    owner=None,
    weights={"a": 1, "b": "much"},
    places={3: 0.5},
    pair=("x", True),
    marks=["y"],
    raw=b"\0\xff",
    barn=Path("/barn"),
)
TEXT = (
    '{"wheels":[{"inches":26,"spokes":[1,2]},{"inches":28,"spokes":[]}],"colour":"blue","load":"hay","owner":null,'
    '"weights":{"a":1,"b":"much"},"places":{"3":0.5},"pair":["x",true],"marks":["y"],"raw":"AP8=","barn":"/barn",'
    '"version":1}'
)


def test_every_type_survives() -> None:
    assert codec.decode(Cart, TEXT) == CART
    assert codec.encode(CART) == TEXT


def test_a_path_is_stored_as_absolute() -> None:
    assert codec.encode(Path("barn")) == f'"{Path.cwd() / "barn"}"'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"inches":28', '"inches":"28"', "wheels[1].inches: found '28'; allowed is a whole number"),
        ('"inches":28', '"inches":true', "wheels[1].inches: found true; allowed is a whole number"),
        ('"inches":28', '"inches":28.0', "wheels[1].inches: found 28.0; allowed is a whole number"),
        ('"inches":28', '"inches":null', "wheels[1].inches: found null; allowed is a whole number"),
        ('"inches":28,', "", "wheels[1]: field 'inches' is missing; the fields are inches, spokes"),
        ('"inches":28', '"inches":28,"rim":1', "wheels[1]: field 'rim' is unknown; the fields are inches, spokes"),
        ('"inches":28', '"inches":28,"inches":29', "field 'inches' stands there twice; each may stand there once"),
        ("[1,2]", "[1,[2]]", "wheels[0].spokes[1]: found [2]; allowed is a whole number"),
        ("[1,2]", '{"1":2}', 'wheels[0].spokes: found {"1": 2}; allowed is a list'),
        ('"hay"', '"straw"', "load: 'straw' is unknown; allowed are hay, stones"),
        ('"hay"', "1", "load: 1 is unknown; allowed are hay, stones"),
        ('"blue"', '"green"', "colour: 'green' is unknown; allowed are red, blue"),
        ('"blue"', "[]", "colour: [] is unknown; allowed are red, blue"),
        ('"owner":null', '"owner":7', "owner: found 7; allowed is text or null"),
        ('"much"', "[]", "weights.b: found []; allowed is a whole number or text"),
        ('"much"', "true", "weights.b: found true; allowed is a whole number or text"),
        ('"3":0.5', '"x":0.5', "places: found 'x'; allowed are whole numbers as names"),
        ('"3":0.5', '"03":0.5', "places: found '03'; allowed are whole numbers as names"),
        ('"3":0.5', '"3":"half"', "places.3: found 'half'; allowed is a number"),
        ('"3":0.5', '"3":1e999', "places.3: found Infinity; allowed is a number"),
        ('"3":0.5', '"3":NaN', "NaN is no number; JSON has none such"),
        ('["x",true]', '["x"]', 'pair: found ["x"]; allowed is a list of 2'),
        ('["x",true]', '["x",1]', "pair[1]: found 1; allowed is true or false"),
        ('"AP8="', '"AP8"', "raw: found 'AP8'; allowed is base64"),
        ('"/barn"', "7", "barn: found 7; allowed is text"),
        ('"version":1', '"version":2,"new":3', "version: 2 is unknown; allowed are 1"),
        ('"version":1', '"version":true', "version: true is unknown; allowed are 1"),
        ('"y"', '"y"' + "," * 200, "is not JSON"),
    ],
)
def test_anything_else_is_refused_with_place_finding_and_remedy(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(Malformed) as caught:
        codec.decode(Cart, TEXT.replace(old, new))
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "9" * 5_000, b"\xff", "[]", "null"])
def test_no_text_does_more_than_be_refused_in_a_short_line(text: str | bytes) -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode(Cart, text)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_what_is_found_is_shortened() -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode(Cart, TEXT.replace('"hay"', f'"{"hay" * 1000}"'))
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'["size",true]', "size_bytes: found true"),
        (b'["span",0,1,true,0,0]', "look: true is unknown; allowed are 0, 1, 2"),
        (b'["span",0,1,7,0,0]', "look: 7 is unknown"),
        (b'["page",0,[[1,2]],""]', "sectors[0]: found [1, 2]; SectorView takes look, kind, run"),
        (b'[["size"],1]', "allowed are arrays that begin with span"),
    ],
)
def test_lines_are_read_as_strictly(line: bytes, said: str) -> None:
    with pytest.raises(Malformed) as caught:
        observation.decode(line)
    assert said in str(caught.value)
    assert observation.decode(observation.encode(Size(5))) == Size(5)
