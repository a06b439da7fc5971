"""What a room is to the machine."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from storage.rooms import timestamp

FROM = datetime(1900, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=300 * 365)).map(lambda since: FROM + since)
ZONES = st.timedeltas(min_value=timedelta(hours=-14), max_value=timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


@given(MOMENTS, ZONES)
def test_a_timestamp_is_utc_with_milliseconds(moment: datetime, zone: timezone) -> None:
    expected = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    assert timestamp(moment) == expected
    assert timestamp(moment.astimezone(zone)) == expected
