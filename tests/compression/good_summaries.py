"""Conversations and what a good model writes of them, in its own words."""

from __future__ import annotations

#: By name: the turns, a user's and an assistant's by turns, one a line; and a summary.
GOOD: dict[str, tuple[str, str]] = {
    "a move": (
        """
We finally signed the lease for the flat in Utrecht yesterday, on the Oudegracht.
Congratulations! When do you get the keys?
On 14 March. The rent is 1450 euros a month, plus two months of deposit.
That is a fair price for the canal. Have you found a mover?
My brother Pavel will drive the van, it is a rented one from Bo-Rent, 89 euros for the day.
Good idea. Do not forget to register at the municipality within five days.
Right. And I am worried about the cat, Miso hates being in a box.
Leave the box open in the living room for a week, with a blanket, so that she gets used to it.
I will try that. My landlady is called Mrs de Vries, she lives downstairs and is allergic to cats.
Did she agree to the cat in writing?
Yes, it is in the lease. Only no dogs. And no parties after eleven, which is fine with me.
Then you are safe. Anything else that is open?
I still have to cancel my internet contract with Ziggo, and I have no idea about the notice period.
It is usually one month for contracts that were renewed; you can cancel it online.
""",
        "The user signed the lease for a flat on the Oudegracht in Utrecht. The keys come on "
        "14 March; rent is 1450 euros a month plus a deposit of two months. Their brother "
        "Pavel drives a van rented from Bo-Rent for 89 euros. The cat Miso hates boxes; the "
        "assistant advised leaving the box open for a week. The landlady, Mrs de Vries, lives "
        "downstairs and is allergic to cats, but the lease allows the cat, forbids dogs and "
        "parties after eleven. Still open: cancelling the internet contract with Ziggo, "
        "notice period usually one month.",
    ),
    "an import": (
        """
The nightly import failed again, the connection to the warehouse timed out after 30 seconds.
Is it the same step as last week, the one that loads the invoices?
Yes, load_invoices. It reads about 2.4 million rows from Postgres and writes Parquet.
You could read it in chunks of 100000 rows and raise the timeout for that step only.
Priya suggested moving it to the replica, since the primary is busy at 02:00 with its backup.
That would help as well. Does the replica lag?
Usually less than a minute. I think that is acceptable for invoices.
Then I would do both: read from the replica, and in chunks.
Agreed. I will make a ticket, DATA-412, and do it before Thursday.
Shall I draft the change of the configuration?
Please, but keep the old setting as a fallback, and do not touch the retry policy, Tomasz owns that.
Understood. I will leave the retries alone and add a flag, use_replica, with the default on.
One more thing, the alert should go to the channel data-ops and not to my mail any more.
Noted, alerts go to data-ops.
""",
        "The nightly import fails at load_invoices (2.4 million rows from Postgres to "
        "Parquet) because the warehouse connection times out after 30 seconds. Priya proposed "
        "using the replica, as the primary runs its backup at 02:00; a lag under a minute is "
        "acceptable. Decision: read from the replica in chunks of 100000 rows, ticket "
        "DATA-412, before Thursday. The old setting stays as a fallback, retries are not "
        "touched because Tomasz owns them, and the flag use_replica is on by default. Alerts "
        "are to go to data-ops instead of the user's mail.",
    ),
    "成都": (
        """
我下个月要去成都出差，大概三天，住在春熙路附近。
好的，需要我帮你找酒店吗？
不用，公司已经订了锦江宾馆，每晚680元。我想知道周末可以去哪里玩。
可以去看大熊猫基地，早上七点半开门，最好早点去。
听起来不错。我女儿小雨今年六岁，她特别喜欢熊猫，我可能带她一起去。
那么建议坐高铁，六岁的孩子可以买半价票。
对了，她对花生过敏，吃火锅要注意什么？
请提前告诉服务员，不要花生碎和花生油的蘸料，最好选择清油锅底。
明白了。我的同事李强也会去，他负责演示，我负责合同。
合同准备好了吗？
还差法务的意见，王经理说周五之前给我。
好，我记下了：周五之前等法务的意见。
""",
        "用户下个月去成都出差三天，公司订了春熙路附近的锦江宾馆，每晚680元。周末可能带"
        "六岁的女儿小雨去大熊猫基地（七点半开门），助手建议坐高铁买半价票。小雨对花生过敏"
        "，吃火锅要提前告诉服务员，不要花生蘸料，选清油锅底。同事李强负责演示，用户负责合"
        "同，还差法务意见，王经理说周五之前给。",
    ),
}
